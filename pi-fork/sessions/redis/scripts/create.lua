-- Make a session. ARGV: 2 epoch, 3 id, 4 time in ms, 5 parent's id or empty, 6 first sequence number, 7 call. Returns what open.lua does.
if not owns(ARGV[2]) then return STALE end
local known = redis.call('HMGET', meta, 'id', 'created_by')
if known[1] and known[2] ~= ARGV[7] then return { err = 'SESSION_EXISTS' } end
redis.call('HSET', meta, 'id', ARGV[3], 'created', ARGV[4], 'parent', ARGV[5], 'version', 1, 'next', ARGV[6], 'created_by', ARGV[7])
redis.call('ZADD', base .. ':pi-sessions', ARGV[4], NAME)
return redis.call('HMGET', meta, 'id', 'created', 'parent', 'version')
