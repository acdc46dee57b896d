-- include: lib
-- Append events. ARGV: 3 to 6 the claim, from 7 on the events. Returns an empty list: the index need not know.
local EVENTS_AT = 7
local leaf = owned()
if not leaf then return STALE end
if leaf.repeated then return { {} } end
local seq = append(leaf.id, leaf.seq, EVENTS_AT)
redis.call('HSET', leaf.key, 'seq', int(seq), 'calls', leaf.calls, 'bytes', charged(leaf))
if seq > leaf.seq then announce(leaf.id, seq) end
return { {} }
