-- Hand a leaf back, ready at once. ARGV: 3 to 6 the claim, 7 event of the new state. Returns what the index must be told.
local leaf = owned()
if not leaf then return STALE end
if leaf.repeated then return { {} } end
local seq = leaf.seq + 1
event(leaf.id, seq, ARGV[7])
letGo(leaf)
redis.call('HSET', leaf.key, 'state', SUSPENDED, 'held', '', 'updated', ms, 'seq', int(seq), 'calls', leaf.calls)
move(leaf.id, leaf.order, RUNNING, SUSPENDED)
announce(leaf.id, seq)
leaf.notBefore = 0
follow(leaf.session, leaf)
return { close() }
