-- include: names
-- A leaf's files can't be written now: it stands after all others. ARGV: 3 leaf id.
local id = ARGV[3]
redis.call('ZADD', base .. ':files', 'XX', ms, id)
return 'OK'
