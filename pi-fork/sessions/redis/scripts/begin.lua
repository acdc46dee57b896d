-- include: lib
-- Begin to write a session that is made as a copy, before it is created: what is left of an earlier beginning goes. ARGV: 2 epoch, 3 token, which
-- names this beginning, 4 empty, or a beginning's token: then only what that one wrote goes. Returns '1' while there is more to remove: then
-- call it again.
local epoch, token, undone = ARGV[2], ARGV[3], ARGV[4]
if not owns(epoch) then return STALE end
local id, restoring = unpack(redis.call('HMGET', meta, 'id', 'restoring'))
if undone ~= '' and (id or restoring ~= undone) then return '0' end
if id then return { err = 'SESSION_EXISTS' } end
local more = wipe()
if more or undone == '' then redis.call('HSET', meta, 'restoring', token) end
return more and '1' or '0'
