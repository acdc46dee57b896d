-- Choose whose leaf is next, on a cluster. KEYS: the index. ARGV: 3 call. Returns partitions in which a time is over, which must be looked at
-- first; or tenant and partition; or nothing.
local overdue = redis.call('ZRANGEBYSCORE', dues, '-inf', ms)
if overdue[1] then return { overdue } end
local tenant, number = pick(ARGV[3])
return tenant and { {}, tenant, number } or { {} }
