-- Forget a schedule. ARGV: 3 name. Returns '1' where there was one.
redis.call('ZREM', all, ARGV[3])
redis.call('ZREM', upcoming, ARGV[3])
return redis.call('DEL', key('at', ARGV[3])) == 1 and '1' or '0'
