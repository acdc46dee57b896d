-- include: notices
-- End a leaf for good and let the next one of its session run. ARGV: 3 to 6 the claim, 7 state, 8 result or empty, 9 failure or empty,
-- 10 last event, from 11 on the events before it. Returns what the index must be told.
local call, state, result, failure, ended, EVENTS_AT = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], 11
local leaf = owned()
if not leaf then return STALE end
if leaf.repeated then return { {} } end
local seq = append(leaf.id, leaf.seq, EVENTS_AT) + 1
event(leaf.id, seq, ended)
letGo(leaf)
local fields = { 'state', state, 'held', '', 'updated', ms, 'seq', int(seq), 'calls', call, 'bytes', charged(leaf) }
if result ~= '' then table.insert(fields, 'result') table.insert(fields, result) end
if failure ~= '' then
  for _, each in ipairs({ 'failure', failure, 'attempts', attempts(leaf, failure) }) do table.insert(fields, each) end
end
redis.call('HSET', leaf.key, unpack(fields))
over(leaf, state)
announce(leaf.id, seq)
notice(leaf, seq)
follow(leaf.session)
return { close() }
