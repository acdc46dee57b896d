-- Note a failed attempt. ARGV: 3 to 6 the claim, 7 failure, 8 the time in ms from which on it is ready again (sooner where its deadline is, at once
-- where a cancel is asked for), from 9 on the events before the last. Returns what the index must be told.
local leaf = owned()
if not leaf then return STALE end
if leaf.repeated then return { {} } end
local notBefore = leaf.cancel == '1' and 0 or math.min(tonumber(ARGV[8]), leaf.deadline)
local seq = append(leaf.id, leaf.seq, 9) + 1
event(leaf.id, seq, stateChanged(RETRYING, notBefore, '', ARGV[7]))
letGo(leaf)
redis.call('HINCRBY', leaf.key, 'failed', 1)
redis.call('HSET', leaf.key, 'state', RETRYING, 'held', '', 'updated', ms, 'seq', int(seq), 'not_before', int(notBefore), 'failure', ARGV[7], 'calls', leaf.calls,
  'attempts', attempts(leaf, ARGV[7]), 'bytes', charged(leaf))
move(leaf.id, leaf.order, RUNNING, RETRYING)
announce(leaf.id, seq)
leaf.notBefore = notBefore
follow(leaf.session, leaf)
return { close() }
