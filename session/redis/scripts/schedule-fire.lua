-- Begin a fire, or, once its leaf is written, set the schedule to the next one. ARGV: 3 name, 4 time in ms of the fire, 5 '' to begin, else time in ms
-- of the next one, 6 leaf, empty where the fire is left out, 7 call. Returns '1' where the fire is to be made, or this call has made it.
local at = key('at', ARGV[3])
local row = redis.call('HMGET', at, 'next', 'paused', 'call', 'begun')
if row[3] == ARGV[7] then return '1' end
-- A fire that was begun is finished, though the schedule be paused meanwhile: its leaf may be there.
if row[1] ~= ARGV[4] or ARGV[4] == '0' or row[2] == '1' and row[4] ~= ARGV[4] then return '0' end
if ARGV[5] == '' then
  redis.call('HSET', at, 'begun', ARGV[4])
  return '1'
end
redis.call('HSET', at, 'call', ARGV[7])
if ARGV[6] ~= '' then
  redis.call('HINCRBY', at, 'fires', 1)
  redis.call('HSET', at, 'last', ARGV[4], 'leaf', ARGV[6])
end
plan(ARGV[3], ARGV[5], row[2])
return '1'
