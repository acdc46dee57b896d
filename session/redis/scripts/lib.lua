-- What the scripts of leaves share, behind the queue.

-- What a client needs to show a leaf, in this order.
local FIELDS = { 'state', 'created', 'updated', 'not_before', 'claims', 'failed', 'epoch', 'seq', 'cancel', 'worker', 'usage', 'failure',
  'result', 'attempts', 'redrives', 'restarts', 'spec' }

local function record(id) return redis.call('HMGET', key('leaf', id), unpack(FIELDS)) end

local function move(id, order, from, to)
  if from == to then return end
  redis.call('ZREM', key('state', from), id)
  redis.call('ZADD', key('state', to), order, id)
end

-- Which leaves a worker holds: claims by their calls, with partition, takeover and leaf. On one node they are in one place, since a claim that
-- is sent again does not know its partition yet.
local function heldBy(worker) return TOGETHER and ix .. ':worker:' .. worker or key('worker', worker) end

-- The claimed leaf, where the claim that ARGV[3] to ARGV[6] (leaf, session, epoch, call) name still holds it; else nothing. `repeated` is
-- set where this very call was made before and its answer was lost; `calls` is what the leaf has to remember from now on.
local function owned()
  local id, session, epoch, call = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
  local leaf = key('leaf', id)
  local row = redis.call('HMGET', leaf, 'state', 'epoch', 'session', 'order', 'seq', 'worker_name', 'calls', 'streamed', 'cancel', 'priority',
    'claim')
  if row[3] ~= session then return nil end
  local calls = row[7] or ''
  local repeated = call ~= '' and string.find(calls, call, 1, true) ~= nil
  if not repeated and (redis.call('HGET', key('session', session), 'epoch') ~= epoch or row[1] ~= RUNNING or row[2] ~= epoch) then
    return nil
  end
  return { id = id, key = leaf, session = session, order = row[4], seq = tonumber(row[5]), worker = row[6], streamed = row[8],
    cancel = row[9], priority = row[10], claim = row[11], repeated = repeated, calls = string.sub(call .. calls, 1, 64) }
end

local STALE = { err = 'STALE_EPOCH' }

-- Take a leaf from its worker.
local function letGo(leaf)
  if redis.call('ZREM', base .. ':leases', leaf.id) == 1 then
    local row = rowOf(tenantOf(leaf.session))
    row.running = row.running - 1
  else
    -- Its lease is over, and it was ready again.
    unready(leaf)
  end
  acknowledge(leaf)
  redis.call('HDEL', heldBy(leaf.worker), leaf.claim)
  redis.call('HDEL', leaf.key, 'worker', 'worker_name', 'claim', 'streamed')
end

-- The next leaf of a session can run.
local function follow(session)
  local next = redis.call('ZPOPMIN', key('queue', session))[1]
  if not next then
    redis.call('HDEL', key('session', session), 'head')
    return
  end
  redis.call('HSET', key('session', session), 'head', next)
  local row = redis.call('HMGET', key('leaf', next), 'order', 'priority')
  ready({ id = next, session = session, order = row[1], priority = row[2] })
end

