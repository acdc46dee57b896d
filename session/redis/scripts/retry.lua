-- include: lib
-- Note a failed attempt. ARGV: 3 to 6 the claim, 7 failure, 8 the time in ms from which on it is ready again (sooner if its deadline is, at once
-- if a cancel is asked for), from 9 on the events before the last. Returns what the index must be told.
local failure, notBeforeMs, EVENTS_AT = ARGV[7], tonumber(ARGV[8]), 9
local leaf = owned()
if not leaf then return STALE end
if leaf.repeated then return { {} } end
local notBefore = leaf.cancel == '1' and 0 or math.min(notBeforeMs, leaf.deadline)
local seq = append(leaf.id, leaf.seq, EVENTS_AT) + 1
event(leaf.id, seq, stateChanged(RETRYING, notBefore, '', failure))
letGo(leaf)
redis.call('HINCRBY', leaf.key, 'failed', 1)
redis.call('HSET', leaf.key, 'state', RETRYING, 'held', '', 'updated', ms, 'seq', int(seq), 'not_before', int(notBefore), 'failure', failure, 'calls', leaf.calls,
  'attempts', attempts(leaf, failure), 'bytes', charged(leaf))
move(leaf.id, leaf.order, RUNNING, RETRYING)
announce(leaf.id, seq)
leaf.notBefore = notBefore
follow(leaf.session, leaf)
return { close() }
