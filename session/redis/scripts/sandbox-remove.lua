-- include: sandboxes
-- Forget a sandbox. ARGV: 3 name. Returns how many were forgotten. Its sessions stay noted: whoever comes under its name is another one.
local name = ARGV[3]
redis.call('SREM', all, name)
redis.call('ZREM', loads, name)
return redis.call('DEL', key('at', name))
