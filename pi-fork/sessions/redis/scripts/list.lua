-- include: lib
-- Names of a partition's sessions, at most 500. ARGV: 2 how many to skip.
local skip = ARGV[2]
return redis.call('ZRANGE', base .. ':pi-sessions', skip, skip + PAGE - 1)
