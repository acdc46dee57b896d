-- Sessions in a sandbox without a lease, at most so many. ARGV: 3 name, 4 how many.
return redis.call('ZRANGEBYSCORE', key('in', ARGV[3]), '-inf', ms, 'LIMIT', 0, ARGV[4])
