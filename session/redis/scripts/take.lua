-- Take the best ready leaf of a tenant in this partition. ARGV: 3 lease in ms, 4 worker's name, 5 worker, 6 event of the new state, 7 call, from
-- 8 on as the script says that this is a part of.

-- A claim as its worker sees it: leaf id, session, epoch, takeover, record.
local function claimed(id, session, epoch, takeover) return { id, session, epoch, takeover, record(id) } end

-- This very call took a leaf before, and its answer was lost. If the leaf has another owner by now, it is a call like any other.
local function claimedBefore()
  local place, takeover, id = string.match(redis.call('HGET', heldBy(ARGV[4]), ARGV[7]) or '', '^(%d+) (%d) (.*)$')
  if not id then return nil end
  if TOGETHER then enter(place) end
  local row = redis.call('HMGET', key('leaf', id), 'state', 'claim', 'session', 'epoch')
  if row[1] == RUNNING and row[2] == ARGV[7] then return claimed(id, row[3], row[4], takeover) end
end

local function take(tenant)
  local row, again = rowOf(tenant), key('again', tenant)
  if row.best == '' then return nil end
  local first = redis.call('ZRANGE', again, 0, 1, 'WITHSCORES')
  local id, streamed
  if first[1] and row.best == int(tonumber(first[2])) .. ':' .. string.sub(first[1], 1, 16) then
    redis.call('ZREM', again, first[1])
    id = string.sub(first[1], 18)
    first = { first[3], first[4] }
  else
    local entry = redis.call('XREADGROUP', 'GROUP', 'brains', 'brains', 'COUNT', 1, 'STREAMS', key('work', tenant), '>')[1][2][1]
    row.taken = string.match(entry[1], '^%d+')
    id, streamed = entry[2][2], true
  end
  row.best = bestOf(tenant, row, first)
  row.running = row.running + 1
  numbers().ready = numbers().ready - 1

  local leaf = key('leaf', id)
  local was = redis.call('HMGET', leaf, 'state', 'lost', 'session', 'order', 'worker_name', 'seq', 'claims', 'claim')
  local expired = was[1] == RUNNING
  if expired then redis.call('HDEL', heldBy(was[5]), was[8]) end
  -- An epoch that was given out never comes back, whatever was lost with a failover or made anew: the clock stands above all of them.
  local session = key('session', was[3])
  local last = tonumber(redis.call('HGET', session, 'epoch') or 0)
  if last == 0 then last = tonumber(numbers().floor or 0) end
  local epoch = int(math.max(last + 1, now))
  redis.call('HSET', session, 'epoch', epoch)
  local seq = tonumber(was[6]) + 1
  if was[7] then redis.call('HDEL', leaf, 'lost', 'not_before', 'failure', 'waiting', 'wake', 'waits') end
  redis.call('HSET', leaf, 'state', RUNNING, 'updated', ms, 'epoch', epoch, 'seq', int(seq), 'claims', int(tonumber(was[7] or 0) + 1),
    'worker_name', ARGV[4], 'worker', ARGV[5], 'claim', ARGV[7], streamed and 'streamed' or 'claim', streamed and '1' or ARGV[7])
  local ends = now + tonumber(ARGV[3])
  redis.call('ZADD', base .. ':leases', int(ends), id)
  soon(ends)
  local takeover = (expired or was[2]) and '1' or '0'
  redis.call('HSET', heldBy(ARGV[4]), ARGV[7], partition .. ' ' .. takeover .. ' ' .. id)
  move(id, was[4], was[1], RUNNING)
  event(id, seq, ARGV[6], epoch, expired and 'lease expired' or '')
  announce(id, seq)
  return claimed(id, was[3], epoch, takeover)
end

