-- include: names
-- Events after a sequence number, and the leaf's state at that moment. ARGV: 3 leaf id, 4 sequence number, 5 limit.
local id, after, limit = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local state = redis.call('HGET', key('leaf', id), 'state')
if not state then return { '', {} } end
return { state, redis.call('LRANGE', key('events', id), int(after), int(after + limit - 1)) }
