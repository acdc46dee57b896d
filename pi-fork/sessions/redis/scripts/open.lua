-- What is known of a session: id, time in ms, parent's id, version; nothing of them where there is none. ARGV: 2 epoch.
if not owns(ARGV[2]) then return STALE end
return redis.call('HMGET', meta, 'id', 'created', 'parent', 'version')
