-- A tenant's settings, weight and running leaves at the most, where it has any. KEYS: the index. ARGV: 3 tenant.
return redis.call('HMGET', ix .. ':tenant:' .. ARGV[3], 'weight', 'max')
