-- include: sandboxes
-- Sessions in a sandbox without a lease. ARGV: 3 name, 4 how many at most.
local name, limit = ARGV[3], ARGV[4]
return redis.call('ZRANGEBYSCORE', key('in', name), '-inf', ms, 'LIMIT', 0, limit)
