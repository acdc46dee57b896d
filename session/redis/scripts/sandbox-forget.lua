-- Forget where a session was. ARGV: 3 session.
local name = placed(ARGV[3])
if not name then return 'OK' end
redis.call('ZREM', key('in', name), ARGV[3])
redis.call('HDEL', placements, ARGV[3])
return 'OK'
