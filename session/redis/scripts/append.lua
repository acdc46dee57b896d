-- Append events. ARGV: 3 to 6 the claim, from 7 on the events.
local leaf = owned()
if not leaf then return STALE end
if leaf.repeated then return 'OK' end
local seq = append(leaf.id, leaf.seq, 7)
if seq > leaf.seq then
  redis.call('HSET', leaf.key, 'seq', int(seq))
  announce(leaf.id, seq)
end
return 'OK'
