-- Take the partition's oldest ready leaf. ARGV: 3 lease in ms, 4 worker's name, 5 worker, 6 event of the new state, 7 call.
-- Returns the record or an empty list, whether it is a takeover, what the index of hints must be told.

-- This very call took a leaf before, and its answer was lost. If the leaf has another owner by now, this is a call like any other.
local mine = key('claimed', ARGV[4])
local call, was, held, epoch = string.match(redis.call('GET', mine) or '', '^(%S+) (%S+) (%S+) (%S+)$')
if call == ARGV[7] then
  local row = redis.call('HMGET', key('leaf', held), 'state', 'epoch')
  if row[1] == RUNNING and row[2] == epoch then return { redis.call('HGETALL', key('leaf', held)), was, {} } end
end

promote()

local id
local back = redis.call('ZRANGE', again, 0, 0, 'WITHSCORES')
local entry = fresh()
if entry and (not back[1] or orderOf(entry) < tonumber(back[2])) then
  local delivered = redis.call('XREADGROUP', 'GROUP', 'brains', 'brains', 'COUNT', 1, 'STREAMS', work, '>')[1][2][1]
  redis.call('HSET', meta, 'taken', int(orderOf(delivered)))
  id = delivered[2][2]
elseif back[1] then
  id = back[1]
  redis.call('ZREM', again, id)
else
  return { {}, '0', exact() }
end

local leaf = key('leaf', id)
local row = redis.call('HMGET', leaf, 'state', 'lost', 'session', 'order', 'worker_name')
local expired = row[1] == RUNNING
if expired and row[5] then redis.call('SREM', key('worker', row[5]), id) end
local last = redis.call('HGET', key('session', row[3]), 'epoch')
epoch = int(math.max(tonumber(last or 0) + 1, tonumber(ms)))
redis.call('HSET', key('session', row[3]), 'epoch', epoch)
local seq = redis.call('HINCRBY', leaf, 'seq', 1)
redis.call('HINCRBY', leaf, 'claims', 1)
redis.call('HSET', leaf, 'state', RUNNING, 'updated', ms, 'epoch', epoch, 'worker_name', ARGV[4], 'worker', ARGV[5])
redis.call('HDEL', leaf, 'lost', 'not_before', 'failure')
redis.call('ZADD', leases, int(tonumber(ms) + tonumber(ARGV[3])), id)
redis.call('SADD', key('worker', ARGV[4]), id)
move(id, row[4], row[1], RUNNING)
event(id, seq, ARGV[6], epoch, expired and 'lease expired' or '')
announce(id, seq)
local takeover = (expired or row[2]) and '1' or '0'
redis.call('SET', mine, table.concat({ ARGV[7], takeover, id, epoch }, ' '), 'EX', 60)
return { redis.call('HGETALL', leaf), takeover, exact() }
