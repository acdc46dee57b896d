-- What the scripts of the queue share, behind clock, names and log.
local QUEUED, RUNNING, SUSPENDED, RETRYING, DONE = '1', '2', '3', '5', 6

local meta, work, again, leases, later = base .. ':meta', base .. ':work', base .. ':again', base .. ':leases', base .. ':later'

-- Hints: two numbers per partition that are never later than the truth. `ready` is the order of its oldest ready leaf less READY, so below
-- zero; `due` is the time in microseconds at which the next leaf becomes ready by time alone. Each is empty where there is none.
local READY = 9000000000000000

local function told(ready, due)
  redis.call('HSET', meta, 'ready', ready, 'due', due)
  return { int(redis.call('HINCRBY', meta, 'version', 1)), ready, due }
end

-- The partition can be claimed from at `candidate`. Returns what the index of hints has to be told: version and hints, or nothing.
local function sooner(candidate)
  local hints = redis.call('HMGET', meta, 'ready', 'due')
  local known = candidate < 0 and hints[1] or candidate >= 0 and hints[2] or ''
  if known ~= '' and tonumber(known) <= candidate then
    if candidate < 0 then redis.call('PUBLISH', channels .. ':work', '') end
    return {}
  end
  if candidate < 0 then return told(int(candidate), hints[2] or '') end
  return told(hints[1] or '', int(candidate))
end

-- The oldest leaf that was never claimed: its place in the stream, or nothing.
local function fresh()
  local taken = redis.call('HGET', meta, 'taken')
  return redis.call('XRANGE', work, taken and '(' .. taken .. '-0' or '-', '+', 'COUNT', 1)[1]
end

local function orderOf(entry) return tonumber(string.match(entry[1], '^%d+')) end

-- What the index has to be told so that it is exact.
local function exact()
  local ready, due
  local first = redis.call('ZRANGE', again, 0, 0, 'WITHSCORES')
  if first[2] then ready = tonumber(first[2]) end
  local entry = fresh()
  if entry and (not ready or orderOf(entry) < ready) then ready = orderOf(entry) end
  for _, times in ipairs({ leases, later }) do
    local head = redis.call('ZRANGE', times, 0, 0, 'WITHSCORES')
    if head[2] and (not due or tonumber(head[2]) < due) then due = tonumber(head[2]) end
  end
  ready = ready and int(ready - READY) or ''
  due = due and int(due * 1000) or ''
  local hints = redis.call('HMGET', meta, 'ready', 'due')
  if hints[1] == ready and hints[2] == due then return {} end
  return told(ready, due)
end

local function move(id, order, from, to)
  redis.call('ZREM', key('state', from), id)
  redis.call('ZADD', key('state', to), order, id)
end

-- The claimed leaf, where the claim that ARGV[3] to ARGV[6] (leaf, session, epoch, call) name still holds it; else nothing. `repeated` is
-- set where this very call was made before and its answer was lost.
local function owned()
  local id, session, epoch, call = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
  local leaf = key('leaf', id)
  local row = redis.call('HMGET', leaf, 'state', 'epoch', 'session', 'order', 'seq', 'worker_name', 'calls', 'streamed', 'cancel')
  if row[3] ~= session then return nil end
  local calls = row[7] or ''
  local repeated = call ~= '' and string.find(calls, call, 1, true) ~= nil
  if not repeated then
    if redis.call('HGET', key('session', session), 'epoch') ~= epoch or row[1] ~= RUNNING or row[2] ~= epoch then return nil end
    if call ~= '' then redis.call('HSET', leaf, 'calls', string.sub(call .. calls, 1, 64)) end
  end
  return { id = id, key = leaf, session = session, order = row[4], seq = tonumber(row[5]), worker = row[6], streamed = row[8],
    cancel = row[9], repeated = repeated }
end

local STALE = { err = 'STALE_EPOCH' }

-- Acknowledge the leaf's place in the stream and delete it.
local function acknowledge(leaf)
  if leaf.streamed ~= '1' then return end
  redis.call('XACK', work, 'brains', leaf.order .. '-0')
  redis.call('XDEL', work, leaf.order .. '-0')
  redis.call('HDEL', leaf.key, 'streamed')
end

-- Take a leaf from its worker.
local function letGo(leaf)
  redis.call('ZREM', leases, leaf.id)
  redis.call('ZREM', again, leaf.id)
  acknowledge(leaf)
  if leaf.worker then redis.call('SREM', key('worker', leaf.worker), leaf.id) end
  redis.call('HDEL', leaf.key, 'worker', 'worker_name')
end

-- At most 100 of the leaves that became due by time join those that wait, so that the oldest is found without walking all of them.
local function promote()
  for _, times in ipairs({ leases, later }) do
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', times, '-inf', ms, 'LIMIT', 0, 100)) do
      local row = redis.call('HMGET', key('leaf', id), 'order', 'streamed')
      redis.call('ZREM', times, id)
      redis.call('ZADD', again, row[1], id)
      acknowledge({ key = key('leaf', id), order = row[1], streamed = row[2] })
    end
  end
end
