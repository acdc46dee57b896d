-- include: index
-- Tenants with a cap, and the cap of each. KEYS: the index.
local known = {}
for _, tenant in ipairs(redis.call('SMEMBERS', ix .. ':capped')) do
  table.insert(known, tenant)
  table.insert(known, redis.call('HGET', ix .. ':tenant:' .. tenant, 'max') or '0')
end
return known
