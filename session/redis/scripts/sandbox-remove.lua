-- Forget a sandbox. ARGV: 3 name. Returns how many were forgotten. Its sessions stay noted: whoever comes under its name is another one.
redis.call('SREM', all, ARGV[3])
return redis.call('DEL', key('at', ARGV[3]))
