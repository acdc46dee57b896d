-- Let go of a leaf until what it waits for happens. ARGV: 3 to 6 the claim, 7 note, 8 wake key or empty, 9 time in ms or empty, 10 '1' where it
-- waits for nothing, 11 number of gates, then their names, then the events before the last. Returns what the index must be told, and 'GATE' where
-- the leaf has not all of the gates.
local leaf = owned()
if not leaf then return STALE end
if leaf.repeated then return { {} } end
local over, notBefore = ARGV[10] == '1' or leaf.cancel == '1', ARGV[9] == '' and math.huge or tonumber(ARGV[9])
local names = {}
for i = 12, 11 + tonumber(ARGV[11]) do
  local gate = redis.call('HMGET', key('gates', leaf.id), gateField('deadline', ARGV[i]), gateField('decided', ARGV[i]))
  if not gate[1] then return { {}, 'GATE' } end
  if gate[2] then over = true end
  if tonumber(gate[1]) > 0 then notBefore = math.min(notBefore, tonumber(gate[1])) end
  table.insert(names, ARGV[i])
end
-- A leaf that waits past its deadline would hold its session: somebody has to end it then.
notBefore = math.min(notBefore, leaf.deadline)
if ARGV[8] ~= '' then
  local wakes = key('wakes', leaf.id)
  local was = redis.call('ZMSCORE', wakes, 'sent:' .. ARGV[8], 'used:' .. ARGV[8])
  if was[1] then
    redis.call('ZREM', wakes, 'sent:' .. ARGV[8])
    redis.call('ZADD', wakes, was[1], 'used:' .. ARGV[8])
  end
  over = over or was[1] or was[2]
end
if notBefore == math.huge then notBefore = 0 elseif notBefore <= now then over = true end
if over then names, notBefore = {}, 0 end
local state = names[1] and AWAITING_APPROVAL or SUSPENDED

local seq = append(leaf.id, leaf.seq, 12 + tonumber(ARGV[11])) + 1
event(leaf.id, seq, stateChanged(state, notBefore, ARGV[7]))
letGo(leaf)
redis.call('HSET', leaf.key, 'state', state, 'held', '', 'updated', ms, 'seq', int(seq), 'calls', leaf.calls, 'bytes', charged(leaf))
if not over then
  redis.call('HSET', leaf.key, 'waiting', '1', 'not_before', int(notBefore), 'wake', ARGV[8], 'waits', table.concat(names, '\n'))
end
if names[1] then filesDue(leaf) end
move(leaf.id, leaf.order, RUNNING, state)
announce(leaf.id, seq)
leaf.notBefore, leaf.waiting = notBefore, not over
follow(leaf.session, leaf)
return { close() }
