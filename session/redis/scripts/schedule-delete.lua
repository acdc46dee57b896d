-- include: schedules
-- Forget a schedule. ARGV: 3 name, 4 the version that was read. Returns '1' if that stood.
local name, version = ARGV[3], ARGV[4]
if redis.call('HGET', key('at', name), 'version') ~= version then return '0' end
redis.call('ZREM', all, name)
redis.call('ZREM', upcoming, name)
redis.call('DEL', key('at', name))
return '1'
