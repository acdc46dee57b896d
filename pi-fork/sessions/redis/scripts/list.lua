-- Names of a partition's sessions, from place ARGV[2] on, at most 500; ARGV[1] is not used.
return redis.call('ZRANGE', base .. ':pi-sessions', ARGV[2], ARGV[2] + PAGE - 1)
