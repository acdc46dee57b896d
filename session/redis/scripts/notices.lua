-- include: lib
-- The outbox of a partition: what somebody outside is to be told of leaves that were submitted so.
--   outbox     zset  tenants by the time in ms at which the next of their notices is due
--   notices:T  zset  a tenant's notices by that: leaf, colon, place in the log of 10 digits
--   dead:T     zset  those that were given up, by name
--   notice:ID  hash  of a leaf: what is noted of notice number n, under n; the claim of who tells it, under claim:n
local function noticeName(id, seq) return string.format('%s:%010.0f', id, seq) end

local function planNotices(tenant)
  local _, time = unpack(redis.call('ZRANGE', key('notices', tenant), 0, 0, 'WITHSCORES'))
  if time then redis.call('ZADD', base .. ':outbox', time, tenant) else redis.call('ZREM', base .. ':outbox', tenant) end
end

-- A notice is due at `time`, in ms.
local function planNotice(tenant, id, seq, time)
  redis.call('ZADD', key('notices', tenant), time, noticeName(id, seq))
  planNotices(tenant)
  redis.call('PUBLISH', channels .. ':notice', '')
end

-- Somebody is to be told of event number `seq` of a leaf that was read by `owned` or `known`.
local function notice(leaf, seq)
  if leaf.notify ~= '1' then return end
  redis.call('HSET', key('notice', leaf.id), int(seq), '')
  planNotice(tenantOf(leaf.session), leaf.id, seq, ms)
end

-- The tenants whose next notice is due, the longest due first, without those that ARGV names from `at` on.
local function dueTenants(at)
  local skipped, due = {}, {}
  for i = at, #ARGV do skipped[ARGV[i]] = true end
  for _, tenant in ipairs(redis.call('ZRANGEBYSCORE', base .. ':outbox', '-inf', ms, 'LIMIT', 0, 500)) do
    if not skipped[tenant] then table.insert(due, tenant) end
  end
  return due
end

-- A leaf is removed, and with it what nobody was told of it.
local function dropNotices(id, session)
  local fields = redis.call('HKEYS', key('notice', id))
  if not fields[1] then return end
  local tenant = tenantOf(session)
  for _, field in ipairs(fields) do
    local seq = string.match(field, '^%d+$')
    if seq then
      redis.call('ZREM', key('notices', tenant), noticeName(id, tonumber(seq)))
      redis.call('ZREM', key('dead', tenant), noticeName(id, tonumber(seq)))
    end
  end
  redis.call('DEL', key('notice', id))
  planNotices(tenant)
end
