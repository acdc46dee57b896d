-- Begin to write a session that is made as a copy, before it is created: what is left of an earlier beginning goes. ARGV: 2 epoch, 3 token, which
-- names this beginning, 4 empty, or a beginning's token: then only what that one wrote goes. Returns '1' while there is more to remove: then
-- call it again.
if not owns(ARGV[2]) then return STALE end
local known = redis.call('HMGET', meta, 'id', 'restoring')
if ARGV[4] ~= '' and (known[1] or known[2] ~= ARGV[4]) then return '0' end
if known[1] then return { err = 'SESSION_EXISTS' } end
local more = wipe()
if more or ARGV[4] == '' then redis.call('HSET', meta, 'restoring', ARGV[3]) end
return more and '1' or '0'
