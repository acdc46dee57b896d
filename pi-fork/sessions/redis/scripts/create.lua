-- include: lib
-- Make a session, or the one that was begun under the same token known. ARGV: 2 epoch, 3 id, 4 time in ms, 5 parent's id or empty, 6 first
-- sequence number, 7 token. Returns what open.lua does.
local epoch, id, created, parent, firstSeq, token = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
if not owns(epoch) then return STALE end
local knownId, createdBy, restoring = unpack(redis.call('HMGET', meta, 'id', 'created_by', 'restoring'))
if knownId and createdBy ~= token then return { err = 'SESSION_EXISTS' } end
-- What somebody began and never ended is in the way.
if restoring and restoring ~= token and wipe() then return { err = 'LEFTOVERS' } end
redis.call('HSET', meta, 'id', id, 'created', created, 'parent', parent, 'version', 1, 'next', firstSeq, 'created_by', token)
redis.call('HDEL', meta, 'restoring')
-- By the time of their last use, which this is, so that those that nobody uses are found.
redis.call('ZADD', base .. ':pi-sessions', int(redis.call('TIME')[1] * 1000), NAME)
return redis.call('HMGET', meta, 'id', 'created', 'parent', 'version')
