-- The totals and the next sequence number, for the owner. ARGV: 2 epoch.
if not owns(ARGV[2]) then return STALE end
return { stats(), redis.call('HGET', meta, 'next') or '' }
