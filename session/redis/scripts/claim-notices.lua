-- include: notices
-- Take notices that are due, one of each tenant. ARGV: 3 how many at the most, 4 for how long, in ms, 5 claim, from 6 on tenants that are left out.
-- Returns tenant, leaf, place in its log, note and the time in ms of each.
local limit, leaseMs, claim, SKIPPED_AT = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], 6
local taken = {}
for _, tenant in ipairs(dueTenants(SKIPPED_AT)) do
  if #taken >= limit then break end
  local name = redis.call('ZRANGE', key('notices', tenant), 0, 0)[1]
  local id, place = string.match(name, '^(.*):(%d+)$')
  local seq = int(tonumber(place))
  redis.call('ZADD', key('notices', tenant), int(now + leaseMs), name)
  planNotices(tenant)
  redis.call('HSET', key('notice', id), 'claim:' .. seq, claim)
  table.insert(taken, { tenant, id, seq, redis.call('HGET', key('notice', id), seq) or '', ms })
end
return taken
