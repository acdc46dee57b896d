-- include: sandboxes
-- Forget where a session was. ARGV: 3 session.
local session = ARGV[3]
local name = placed(session)
if not name then return 'OK' end
if name ~= '' then leave(name, session) end
redis.call('HDEL', placements, session)
return 'OK'
