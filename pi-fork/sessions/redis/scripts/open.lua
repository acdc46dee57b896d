-- include: lib
-- What is known of a session: id, time in ms, parent's id, version; nothing of them if there is none. ARGV: 2 epoch.
local epoch = ARGV[2]
if not owns(epoch) then return STALE end
return redis.call('HMGET', meta, 'id', 'created', 'parent', 'version')
