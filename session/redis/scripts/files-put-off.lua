-- A leaf's files can't be written now: it stands behind all others. ARGV: 3 leaf id.
redis.call('ZADD', base .. ':files', 'XX', ms, ARGV[3])
return 'OK'
