-- End a leaf for good and let the next one of its session run. ARGV: 3 to 6 the claim, 7 state, 8 result or empty, 9 failure or empty,
-- 10 last event, from 11 on the events before it. Returns what the index of hints must be told.
local leaf = owned()
if not leaf then return STALE end
if leaf.repeated then return { {} } end
local seq = append(leaf.id, leaf.seq, 11) + 1
event(leaf.id, seq, ARGV[10])
letGo(leaf)
redis.call('HSET', leaf.key, 'state', ARGV[7], 'updated', ms, 'seq', int(seq))
redis.call('HDEL', leaf.key, 'failure')
if ARGV[8] ~= '' then redis.call('HSET', leaf.key, 'result', ARGV[8]) end
if ARGV[9] ~= '' then redis.call('HSET', leaf.key, 'failure', ARGV[9]) end
redis.call('DEL', key('keys', leaf.id))
move(leaf.id, leaf.order, RUNNING, ARGV[7])
announce(leaf.id, seq)

local hint = {}
local session = key('session', leaf.session)
local next = redis.call('LPOP', key('queue', leaf.session))
if next then
  local order = redis.call('HGET', key('leaf', next), 'order')
  redis.call('HSET', session, 'head', next)
  redis.call('ZADD', again, order, next)
  hint = sooner(tonumber(order) - READY)
else
  redis.call('HDEL', session, 'head')
end
return { hint }
