-- Write a schedule. ARGV: 3 name, 4 schedule without what the store keeps, 5 next fire in ms, 6 '1' where it is paused. Returns '1' where this call
-- wrote it, and the schedule that is there.
local known = redis.call('HGET', key('at', ARGV[3]), 'schedule')
if known then return { '0', shown(ARGV[3]) } end
redis.call('HSET', key('at', ARGV[3]), 'schedule', ARGV[4], 'created', ms)
redis.call('ZADD', all, 0, ARGV[3])
plan(ARGV[3], ARGV[5], ARGV[6])
return { '1', shown(ARGV[3]) }
