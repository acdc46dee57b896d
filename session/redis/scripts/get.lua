-- A leaf's record. ARGV: 3 leaf id.
return redis.call('HGETALL', key('leaf', ARGV[3]))
