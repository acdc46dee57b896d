-- Answer a gate; where its deadline is over, that does. ARGV: 3 leaf id, 4 gate's name, 5 its id, 6 decision without its time. Returns what the
-- index must be told, and a word, or 'GATE' and the gate with the decision that stands.
local leaf = known(ARGV[3])
if not leaf then return { {}, 'NO_LEAF' } end
if isOver(leaf.state) then return { {}, 'ENDED' } end
local name = ARGV[4]
local row = redis.call('HMGET', key('gates', leaf.id), gateField('gate', name), gateField('deadline', name), gateField('kind', name),
  gateField('decided', name))
if not row[1] then return { {}, 'NO_GATE' } end
if row[4] then return { {}, 'GATE', row[1] } end
if leaf.deadline <= now then return { {}, 'TOO_LATE' } end
leaf.seq = leaf.seq + 1
local gate = writeDecision(leaf.id, leaf.seq, name, ARGV[5], overdue(row[2]) and defaultDecision(row[3]) or ARGV[6])
if leaf.waiting and string.find('\n' .. leaf.waits .. '\n', '\n' .. name .. '\n', 1, true) then endWait(leaf, 'decided') end
return { close(), 'GATE', gate }
