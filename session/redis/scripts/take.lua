-- include: lib
-- Take the best ready leaf of a tenant in this partition. ARGV: 3 lease in ms, 4 worker's name, 5 worker, 6 event of the new state, 7 call, from
-- 8 on as the script says that this is a part of.
local leaseMs, workerName, worker, runningEvent, claimCall = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]

-- This very call took a leaf before, and its answer was lost: the claim as its worker sees it, which is leaf id, session, epoch, takeover, record.
-- If the leaf has another owner by now, it is a call like any other.
local function claimedBefore()
  local place, takeover, id = string.match(redis.call('HGET', heldBy(workerName), claimCall) or '', '^(%d+) (%d) (.*)$')
  if not id then return nil end
  if TOGETHER then enter(place) end
  local state, held, session, epoch = unpack(redis.call('HMGET', key('leaf', id), 'state', 'held', 'session', 'epoch'))
  if state == RUNNING and holder(held) == claimCall then return { id, session, epoch, takeover, record(id) } end
end

local function take(tenant)
  local queue = rowOf(tenant)
  if queue.best == '' then return nil end
  local first = firstAgain(tenant, 2)
  local id, entry
  if first[1] and queue.best == int(tonumber(first[2])) .. ':' .. string.sub(first[1], 1, 16) then
    redis.call('ZREM', key('again', tenant), first[1])
    queue.again = queue.again - 1
    id = string.sub(first[1], 18)
    first, entry = { first[3], first[4] }, oldest(tenant, 1)[1]
  else
    local entries = oldest(tenant, 2)
    if entries[2] then redis.call('XDEL', key('work', tenant), entries[1][1]) else redis.call('DEL', key('work', tenant)) end
    id, entry = entries[1][2][2], entries[2]
  end
  queue.best = bestOf(first, entry)
  queue.running = queue.running + 1
  numbers().ready = numbers().ready - 1

  local leaf = key('leaf', id)
  local lost, name, order, state, created, _, _, claims, failed, _, lastSeq, cancel, held, usage, _, result, failures, redrives, restarts, spec,
    unreadPlaces, openGates = unpack(redis.call('HMGET', leaf, 'lost', 'session', 'order', unpack(FIELDS)))
  local expired = state == RUNNING
  if expired then
    local call, holderName = holder(held)
    redis.call('HDEL', heldBy(holderName), call)
  end
  -- An epoch that was given out never comes back, whatever was lost with a failover or made again: the clock stands above all of them.
  local session = key('session', name)
  local last = tonumber(redis.call('HGET', session, 'epoch') or 0)
  if last == 0 then last = tonumber(numbers().floor or 0) end
  local epoch = int(math.max(last + 1, now))
  redis.call('HSET', session, 'epoch', epoch)
  local seq = tonumber(lastSeq) + 1
  if claims then redis.call('HDEL', leaf, 'lost', 'not_before', 'failure', 'waiting', 'wake', 'waits') end
  claims, held = int(tonumber(claims or 0) + 1), holding(claimCall, workerName, worker)
  redis.call('HSET', leaf, 'state', RUNNING, 'updated', ms, 'epoch', epoch, 'seq', int(seq), 'claims', claims, 'held', held)
  local ends = now + tonumber(leaseMs)
  redis.call('ZADD', base .. ':leases', int(ends), id)
  soon(ends)
  local takeover = (expired or lost) and '1' or '0'
  redis.call('HSET', heldBy(workerName), claimCall, partition .. ' ' .. takeover .. ' ' .. id)
  move(id, order, state, RUNNING)
  event(id, seq, runningEvent, epoch, expired and 'lease expired' or '')
  announce(id, seq)
  return { id, name, epoch, takeover, shown(id, { RUNNING, created, ms, false, claims, failed, epoch, int(seq), cancel, held, usage, false, result,
    failures, redrives, restarts, spec, unreadPlaces, openGates }) }
end

