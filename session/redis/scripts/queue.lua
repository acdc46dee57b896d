-- include: log, index
-- A partition's queue. What ready leaves and running ones there are, by tenant; what changes of it is
-- written, and the index told, by `close`, with which every script that changes something ends.
--   meta      hash    order: last one given · ready: number of ready leaves · due: next time in ms · version: of the news · floor: of epochs ·
--                     t:T, of each tenant with ready or running leaves: running, leaves in `again`, version of the last news, best ready leaf.
--                     On a cluster a tenant stays until the index was told that it has none (forget.lua)
--   work:T    stream  leaves of priority 0 that are ready and were never claimed; an entry's id is the leaf's order
--   again:T   zset    every other ready leaf: score is less its priority, member order and id, so that the first one is the best
--   leases    zset    running leaves by the end of their lease, later: waiting ones by the time that ends their wait, in ms
--   leafless  zset    sessions that have no leaf any more, by their epochs
--   files     zset    leaves whose files have to be written, by since when, in ms
--   deadlines zset    unfinished leaves that have to be over at a time, by that, in ms
local QUEUED, RUNNING, SUSPENDED, AWAITING_APPROVAL, RETRYING = '1', '2', '3', '4', '5'
local now = tonumber(ms)
local partition = string.match(base, ':(%d+)}$')

-- What this script has read of the partition, and changed.
local part, rows

local META = { 'order', 'ready', 'due', 'version', 'floor' }

-- The partition's numbers, and with them, in one step, whatever further fields of `meta` are named.
local function readMeta(field)
  local value, order, readyLeaves, due, version, floor = unpack(redis.call('HMGET', base .. ':meta', field or 'order', unpack(META)))
  part = { order = tonumber(order or 0), ready = tonumber(readyLeaves or 0), due = due or '', version = tonumber(version or 0), floor = floor }
  part.given, part.was, part.told, part.news = part.order, part.ready, part.due, part.version
  return value
end

local function numbers()
  if not part then readMeta() end
  return part
end

local function rowOf(tenant)
  rows = rows or {}
  local row = rows[tenant]
  if not row then
    local field, text = 't:' .. tenant, nil
    if part then text = redis.call('HGET', base .. ':meta', field) else text = readMeta(field) end
    local running, waiting, version, best = string.match(text or '0 0 0 ', '^(%d+) (%d+) (%d+) (.*)$')
    row = { text = text, running = tonumber(running), again = tonumber(waiting), version = tonumber(version), best = best }
    row.wasRunning, row.wasBest = row.running, best
    rows[tenant] = row
  end
  return row
end

local function tenantOf(session) return string.match(session, '^[^/]*') end

local function pad(order) return string.format('%016.0f', tonumber(order)) end

-- The first leaves of a tenant's stream.
local function oldest(tenant, count) return redis.call('XRANGE', key('work', tenant), '-', '+', 'COUNT', count) end

-- The first leaves of a tenant in `again`, each with its score. Most tenants have none there.
local function firstAgain(tenant, count)
  return rowOf(tenant).again == 0 and {} or redis.call('ZRANGE', key('again', tenant), 0, count - 1, 'WITHSCORES')
end

-- The first ready leaf of a tenant, `score:order`, or empty. `first`: what stands first in `again`, member and score; `entry`: in its stream.
local function bestOf(first, entry)
  local order = entry and string.match(entry[1], '^%d+')
  if first[1] and (not order or tonumber(first[2]) < 0 or tonumber(first[2]) == 0 and string.sub(first[1], 1, 16) < pad(order)) then
    return int(tonumber(first[2])) .. ':' .. string.sub(first[1], 1, 16)
  end
  return order and '0:' .. pad(order) or ''
end

-- A leaf of this priority (less than zero first) and order is ready.
local function offer(row, score, order)
  numbers().ready = numbers().ready + 1
  local known, first = string.match(row.best, '^(.*):(.*)$')
  if not known or score < tonumber(known) or score == tonumber(known) and pad(order) < first then row.best = int(score) .. ':' .. pad(order) end
end

-- A leaf is ready that was claimed before, waited for others of its session, or has a priority.
local function ready(leaf)
  local tenant = tenantOf(leaf.session)
  local row, score = rowOf(tenant), 0 - tonumber(leaf.priority or 0)
  row.again = row.again + redis.call('ZADD', key('again', tenant), score, pad(leaf.order) .. ':' .. leaf.id)
  offer(row, score, leaf.order)
end

-- A leaf is ready that was never claimed.
local function enqueue(leaf)
  if tonumber(leaf.priority or 0) ~= 0 then return ready(leaf) end
  local tenant = tenantOf(leaf.session)
  redis.call('XADD', key('work', tenant), leaf.order .. '-0', 'leaf', leaf.id)
  offer(rowOf(tenant), 0, leaf.order)
end

-- A leaf of the tenant is ready no more. A stream that is empty takes room nevertheless.
local function gone(tenant)
  local row, entry = rowOf(tenant), oldest(tenant, 1)[1]
  if not entry then redis.call('DEL', key('work', tenant)) end
  numbers().ready = numbers().ready - 1
  row.best = bestOf(firstAgain(tenant, 1), entry)
end

-- A leaf that may stand in `again` is ready no more. Tells whether it stood there.
local function unready(leaf)
  local tenant = tenantOf(leaf.session)
  if redis.call('ZREM', key('again', tenant), pad(leaf.order) .. ':' .. leaf.id) == 0 then return false end
  rowOf(tenant).again = rowOf(tenant).again - 1
  gone(tenant)
  return true
end

-- Some leaf is ready by time alone at `time`, in ms.
local function soon(time)
  local known = numbers().due
  if known == '' or time < tonumber(known) then numbers().due = int(time) end
end

-- Some 100 of the leases that ended and of the waits that time ended: the leaves are ready.
local function promote()
  if numbers().due == '' or tonumber(numbers().due) > now then return end
  local leases, later = base .. ':leases', base .. ':later'
  for _, times in ipairs({ leases, later }) do
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', times, '-inf', ms, 'LIMIT', 0, 100)) do
      local session, order, priority = unpack(redis.call('HMGET', key('leaf', id), 'session', 'order', 'priority'))
      redis.call('ZREM', times, id)
      if times == leases then rowOf(tenantOf(session)).running = rowOf(tenantOf(session)).running - 1 end
      ready({ id = id, session = session, order = order, priority = priority })
    end
  end
  local due = ''
  for _, times in ipairs({ leases, later }) do
    local _, time = unpack(redis.call('ZRANGE', times, 0, 0, 'WITHSCORES'))
    if time and (due == '' or tonumber(time) < tonumber(due)) then due = int(tonumber(time)) end
  end
  numbers().due = due
end

-- Write what changed, and tell the index of it. Returns what is to be told to an index elsewhere: nothing, or version, next time ('-' if
-- that did not change), and tenant, best leaf and running leaves of each tenant that changed. `all`: of each that was looked at.
local function close(all)
  local news, meta = {}, {}
  local function set(field, value)
    meta[#meta + 1], meta[#meta + 2] = field, value
  end
  for tenant, row in pairs(rows or {}) do
    local idle = row.running == 0 and row.best == ''
    local changed = all or row.running ~= row.wasRunning or row.best ~= row.wasBest
    if changed and TOGETHER then
      tell(partition, tenant, row.best, row.running)
    elseif changed then
      row.version = numbers().version + 1
      for _, each in ipairs({ tenant, row.best, int(row.running) }) do table.insert(news, each) end
    end
    local text = int(row.running) .. ' ' .. int(row.again) .. ' ' .. int(row.version) .. ' ' .. row.best
    if idle and TOGETHER then
      if row.text then redis.call('HDEL', base .. ':meta', 't:' .. tenant) end
    elseif text ~= row.text then
      set('t:' .. tenant, text)
    end
  end
  local moved = part and (part.due ~= part.told or all)
  if not TOGETHER and (news[1] or moved) then
    numbers().version = numbers().version + 1
    table.insert(news, 1, moved and part.due or '-')
    table.insert(news, 1, int(part.version))
  elseif moved then
    tellDue(partition, part.due)
  end
  if part then
    if part.order ~= part.given then set('order', int(part.order)) end
    if part.ready ~= part.was then set('ready', int(part.ready)) end
    if part.due ~= part.told then set('due', part.due) end
    if part.version ~= part.news then set('version', int(part.version)) end
  end
  if meta[1] then redis.call('HSET', base .. ':meta', unpack(meta)) end
  part, rows = nil, nil
  return news
end

-- Go on in another partition: only if all of them are on one node.
local function enter(number)
  partition, base = number, '{' .. channels .. ':' .. number .. '}'
end

