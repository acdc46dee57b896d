-- include: sandboxes
-- Forget where a session was. ARGV: 3 session.
local session = ARGV[3]
local name = placed(session)
if not name then return 'OK' end
if name ~= '' then redis.call('ZREM', key('in', name), session) end
redis.call('HDEL', placements, session)
return 'OK'
