-- include: lib
-- Hand back at most 100 leaves of a worker that is known to be dead. ARGV: 3 its name, 4 event of the new state.
-- Returns what the index must be told, and how many.
local workerName, suspended = ARGV[3], ARGV[4]
local flat = redis.call('HRANDFIELD', heldBy(workerName), 100, 'WITHVALUES')
local held = {}
for i = 1, #flat, 2 do
  local place, id = string.match(flat[i + 1], '^(%d+) %d (.*)$')
  table.insert(held, { call = flat[i], place = place, id = id })
end
-- One partition after the other, since each is closed before the next is entered.
table.sort(held, function(a, b) return a.place < b.place end)
local news, count = {}, 0
for _, each in ipairs(held) do
  if each.place ~= partition then
    close()
    enter(each.place)
  end
  local leaf = { id = each.id, key = key('leaf', each.id), worker = workerName, claim = each.call }
  local order, session, priority, lastSeq, heldNow, state =
    unpack(redis.call('HMGET', leaf.key, 'order', 'session', 'priority', 'seq', 'held', 'state'))
  if holder(heldNow) == each.call and state == RUNNING then
    leaf.order, leaf.session, leaf.priority = order, session, priority
    letGo(leaf)
    local seq = tonumber(lastSeq) + 1
    event(leaf.id, seq, suspended)
    redis.call('HSET', leaf.key, 'state', SUSPENDED, 'held', '', 'updated', ms, 'seq', int(seq), 'lost', 1)
    move(leaf.id, leaf.order, RUNNING, SUSPENDED)
    announce(leaf.id, seq)
    leaf.notBefore = 0
    follow(leaf.session, leaf)
    count = count + 1
  else
    redis.call('HDEL', heldBy(workerName), each.call)
  end
end
return { close(), int(count), int(#held) }
