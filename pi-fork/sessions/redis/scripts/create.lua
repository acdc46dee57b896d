-- Make a session, or the one that was begun under the same token known. ARGV: 2 epoch, 3 id, 4 time in ms, 5 parent's id or empty, 6 first
-- sequence number, 7 token. Returns what open.lua does.
if not owns(ARGV[2]) then return STALE end
local known = redis.call('HMGET', meta, 'id', 'created_by', 'restoring')
if known[1] and known[2] ~= ARGV[7] then return { err = 'SESSION_EXISTS' } end
-- What somebody began and never ended is in the way.
if known[3] and known[3] ~= ARGV[7] and wipe() then return { err = 'LEFTOVERS' } end
redis.call('HSET', meta, 'id', ARGV[3], 'created', ARGV[4], 'parent', ARGV[5], 'version', 1, 'next', ARGV[6], 'created_by', ARGV[7])
redis.call('HDEL', meta, 'restoring')
-- By the time of their last use, which this is, so that those that nobody uses are found.
redis.call('ZADD', base .. ':pi-sessions', int(redis.call('TIME')[1] * 1000), NAME)
return redis.call('HMGET', meta, 'id', 'created', 'parent', 'version')
