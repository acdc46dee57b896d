-- Hand back at most 100 leaves of a worker that is known to be dead. ARGV: 3 its name, 4 event of the new state.
-- Returns how many, and what the index of hints must be told.
local held = redis.call('SRANDMEMBER', key('worker', ARGV[3]), 100)
local oldest
for _, id in ipairs(held) do
  local row = redis.call('HMGET', key('leaf', id), 'order', 'streamed')
  local leaf = { id = id, key = key('leaf', id), order = row[1], streamed = row[2], worker = ARGV[3] }
  letGo(leaf)
  local seq = redis.call('HINCRBY', leaf.key, 'seq', 1)
  event(id, seq, ARGV[4])
  redis.call('HSET', leaf.key, 'state', SUSPENDED, 'updated', ms, 'lost', 1)
  redis.call('ZADD', again, leaf.order, id)
  move(id, leaf.order, RUNNING, SUSPENDED)
  announce(id, seq)
  local order = tonumber(leaf.order)
  if not oldest or order < oldest then oldest = order end
end
return { int(#held), oldest and sooner(oldest - READY) or {} }
