-- include: lib
-- Decide a gate; if it is overdue, its default decision is written instead. ARGV: 3 leaf id, 4 gate's name, 5 its id, 6 decision without its time. Returns what the
-- index must be told, and a word, or 'GATE' and the gate with the decision that stands.
local id, name, gateId, decision = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local leaf = known(id)
if not leaf then return { {}, 'NO_LEAF' } end
-- Its gates went with it.
if isOver(leaf.state) then return { {}, 'ENDED' } end
local gate, deadline, kind, decided = unpack(redis.call('HMGET', key('gates', leaf.id), gateField('gate', name), gateField('deadline', name),
  gateField('kind', name), gateField('decided', name)))
if not gate then return { {}, 'NO_GATE' } end
if decided then return { {}, 'GATE', gate } end
if leaf.deadline <= now then return { {}, 'TOO_LATE' } end
leaf.seq = leaf.seq + 1
gate = writeDecision(leaf.id, leaf.seq, name, gateId, overdue(deadline) and defaultDecision(kind) or decision)
if leaf.waiting and string.find('\n' .. leaf.waits .. '\n', '\n' .. name .. '\n', 1, true) then endWait(leaf, 'decided') end
return { close(), 'GATE', gate }
