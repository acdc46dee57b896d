-- Events behind a sequence number, and the leaf's state as it was with them. ARGV: 3 leaf id, 4 sequence number, 5 limit.
local state = redis.call('HGET', key('leaf', ARGV[3]), 'state')
if not state then return { '', {} } end
return { state, redis.call('LRANGE', key('events', ARGV[3]), ARGV[4], int(tonumber(ARGV[4]) + tonumber(ARGV[5]) - 1)) }
