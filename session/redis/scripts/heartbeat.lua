-- Set the end of a claim's lease. ARGV: 3 to 6 the claim, 7 lease in ms. Returns '1' where a cancel was asked for, and what the index of hints must be told.
local leaf = owned()
if not leaf then return STALE end
local due = tonumber(ms) + tonumber(ARGV[7])
redis.call('ZREM', again, leaf.id)
redis.call('ZADD', leases, int(due), leaf.id)
return { leaf.cancel or '0', sooner(due * 1000) }
