-- include: lib
-- The totals and the next sequence number, for the owner. ARGV: 2 epoch.
local epoch = ARGV[2]
if not owns(epoch) then return STALE end
return { stats(), redis.call('HGET', meta, 'next') or '' }
