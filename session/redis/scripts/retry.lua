-- Note a failed attempt. ARGV: 3 to 6 the claim, 7 failure, 8 the time in ms from which on it is ready again, 9 last event, from 10 on the
-- events before it. Returns what the index must be told.
local leaf = owned()
if not leaf then return STALE end
if leaf.repeated then return { {} } end
local seq = append(leaf.id, leaf.seq, 10) + 1
event(leaf.id, seq, ARGV[9])
letGo(leaf)
redis.call('HINCRBY', leaf.key, 'failed', 1)
redis.call('HSET', leaf.key, 'state', RETRYING, 'updated', ms, 'seq', int(seq), 'not_before', ARGV[8], 'failure', ARGV[7], 'calls', leaf.calls)
redis.call('ZADD', base .. ':later', ARGV[8], leaf.id)
soon(tonumber(ARGV[8]))
move(leaf.id, leaf.order, RUNNING, RETRYING)
announce(leaf.id, seq)
promote()
return { close() }
