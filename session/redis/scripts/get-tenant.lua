-- include: index
-- A tenant's settings, weight and running leaves at the most, if it has any. KEYS: the index. ARGV: 3 tenant.
local tenant = ARGV[3]
return redis.call('HMGET', ix .. ':tenant:' .. tenant, 'weight', 'max')
