-- include: notices
-- Open a gate, or find it; one whose deadline is over is decided by that. ARGV: 3 to 6 the claim, 7 name, 8 id, 9 gate without its time, 10 hash of
-- the arguments, 11 deadline in ms, 12 kind that is decided then, 13 open gates at the most. Returns an empty list, and the gate, or a word.
local name, gateId, asked, hash, deadline, kind, limit = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12], tonumber(ARGV[13])
local leaf = owned()
if not leaf then return STALE end
local gates, seq = key('gates', leaf.id), leaf.seq
local gate, knownHash, knownDeadline, knownKind, decided = unpack(redis.call('HMGET', gates, gateField('gate', name), gateField('hash', name),
  gateField('deadline', name), gateField('kind', name), gateField('decided', name)))
if gate and knownHash ~= hash then return { {}, 'REUSED' } end
if not gate then
  local open = redis.call('HGET', leaf.key, 'open')
  local _, count = string.gsub(open or '', '[^\n]+', '')
  if count >= limit then return { {}, 'TOO_MANY' } end
  gate, seq = asked .. number(6, ms), seq + 1
  redis.call('HSET', gates, gateField('gate', name), gate, gateField('hash', name), hash, gateField('deadline', name), deadline,
    gateField('kind', name), kind)
  redis.call('HSET', leaf.key, 'seq', int(seq), 'open', open and open .. '\n' .. name or name)
  event(leaf.id, seq, bytes(13, bytes(1, gate)))
  announce(leaf.id, seq)
  notice(leaf, seq)
  knownDeadline, knownKind = deadline, kind
end
if not decided and overdue(knownDeadline) then gate = writeDecision(leaf.id, seq + 1, name, gateId, defaultDecision(knownKind)) end
return { {}, 'GATE', gate }
