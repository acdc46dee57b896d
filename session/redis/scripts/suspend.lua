-- include: lib
-- Let go of a leaf until what it waits for happens. ARGV: 3 to 6 the claim, 7 note, 8 wake key or empty, 9 time in ms or empty, 10 '1' if it
-- waits for nothing, 11 number of gates, then their names, then the events before the last. Returns what the index must be told, and 'GATE' if
-- the leaf has not all of the gates.
local note, wakeKey, timeMs, waitsForNothing, gates, GATES_AT = ARGV[7], ARGV[8], ARGV[9], ARGV[10] == '1', tonumber(ARGV[11]), 12
local leaf = owned()
if not leaf then return STALE end
if leaf.repeated then return { {} } end
local isOver, notBefore = waitsForNothing or leaf.cancel == '1', timeMs == '' and math.huge or tonumber(timeMs)
local names = {}
for i = GATES_AT, GATES_AT + gates - 1 do
  local name = ARGV[i]
  local deadline, decided = unpack(redis.call('HMGET', key('gates', leaf.id), gateField('deadline', name), gateField('decided', name)))
  if not deadline then return { {}, 'GATE' } end
  if decided then isOver = true end
  if tonumber(deadline) > 0 then notBefore = math.min(notBefore, tonumber(deadline)) end
  table.insert(names, name)
end
-- A leaf that waits past its deadline would hold its session: somebody has to end it then.
notBefore = math.min(notBefore, leaf.deadline)
if wakeKey ~= '' then
  local wakes = key('wakes', leaf.id)
  local sent, usedUp = unpack(redis.call('ZMSCORE', wakes, 'sent:' .. wakeKey, 'used:' .. wakeKey))
  if sent then
    redis.call('ZREM', wakes, 'sent:' .. wakeKey)
    redis.call('ZADD', wakes, sent, 'used:' .. wakeKey)
  end
  isOver = isOver or sent or usedUp
end
if notBefore == math.huge then notBefore = 0 elseif notBefore <= now then isOver = true end
if isOver then names, notBefore = {}, 0 end
local state = names[1] and AWAITING_APPROVAL or SUSPENDED

local seq = append(leaf.id, leaf.seq, GATES_AT + gates) + 1
event(leaf.id, seq, stateChanged(state, notBefore, note))
letGo(leaf)
redis.call('HSET', leaf.key, 'state', state, 'held', '', 'updated', ms, 'seq', int(seq), 'calls', leaf.calls, 'bytes', charged(leaf))
if not isOver then
  redis.call('HSET', leaf.key, 'waiting', '1', 'not_before', int(notBefore), 'wake', wakeKey, 'waits', table.concat(names, '\n'))
end
if names[1] then filesDue(leaf) end
move(leaf.id, leaf.order, RUNNING, state)
announce(leaf.id, seq)
leaf.notBefore, leaf.waiting = notBefore, not isOver
follow(leaf.session, leaf)
return { close() }
