-- Forget a schedule. ARGV: 3 name, 4 the version that was read. Returns '1' if that stood.
if redis.call('HGET', key('at', ARGV[3]), 'version') ~= ARGV[4] then return '0' end
redis.call('ZREM', all, ARGV[3])
redis.call('ZREM', upcoming, ARGV[3])
redis.call('DEL', key('at', ARGV[3]))
return '1'
