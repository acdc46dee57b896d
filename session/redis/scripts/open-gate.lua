-- Open a gate, or find it; one whose deadline is over is decided by that. ARGV: 3 to 6 the claim, 7 name, 8 id, 9 gate without its time, 10 hash of
-- the arguments, 11 deadline in ms, 12 kind that is decided then, 13 open gates at the most. Returns an empty list, and the gate, or a word.
local leaf = owned()
if not leaf then return STALE end
local gates, name = key('gates', leaf.id), ARGV[7]
local row = redis.call('HMGET', gates, gateField('gate', name), gateField('hash', name), gateField('deadline', name), gateField('kind', name),
  gateField('decided', name))
local gate, seq = row[1], leaf.seq
if gate and row[2] ~= ARGV[10] then return { {}, 'REUSED' } end
if not gate then
  local open = redis.call('HGET', leaf.key, 'open')
  local _, count = string.gsub(open or '', '[^\n]+', '')
  if count >= tonumber(ARGV[13]) then return { {}, 'TOO_MANY' } end
  gate, seq = ARGV[9] .. number(6, ms), seq + 1
  redis.call('HSET', gates, gateField('gate', name), gate, gateField('hash', name), ARGV[10], gateField('deadline', name), ARGV[11],
    gateField('kind', name), ARGV[12])
  redis.call('HSET', leaf.key, 'seq', int(seq), 'open', open and open .. '\n' .. name or name)
  event(leaf.id, seq, bytes(13, bytes(1, gate)))
  announce(leaf.id, seq)
  notice(leaf, seq)
  row = { gate, ARGV[10], ARGV[11], ARGV[12], false }
end
if not row[5] and overdue(row[3]) then gate = writeDecision(leaf.id, seq + 1, name, ARGV[8], defaultDecision(row[4])) end
return { {}, 'GATE', gate }
