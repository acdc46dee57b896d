-- End a leaf for good and let the next one of its session run. ARGV: 3 to 6 the claim, 7 state, 8 result or empty, 9 failure or empty,
-- 10 last event, from 11 on the events before it. Returns what the index must be told.
local leaf = owned()
if not leaf then return STALE end
if leaf.repeated then return { {} } end
local seq = append(leaf.id, leaf.seq, 11) + 1
event(leaf.id, seq, ARGV[10])
letGo(leaf)
local fields = { 'state', ARGV[7], 'held', '', 'updated', ms, 'seq', int(seq), 'calls', ARGV[6], 'bytes', charged(leaf) }
if ARGV[8] ~= '' then table.insert(fields, 'result') table.insert(fields, ARGV[8]) end
if ARGV[9] ~= '' then
  for _, each in ipairs({ 'failure', ARGV[9], 'attempts', attempts(leaf, ARGV[9]) }) do table.insert(fields, each) end
end
redis.call('HSET', leaf.key, unpack(fields))
over(leaf, ARGV[7])
announce(leaf.id, seq)
notice(leaf, seq)
follow(leaf.session)
return { close() }
