-- include: index
-- Choose whose leaf is next, on a cluster. KEYS: the index. ARGV: 3 call. Returns partitions in which a time is over, which must be looked at
-- first; or tenant and partition; or nothing.
local call = ARGV[3]
local late = redis.call('ZRANGEBYSCORE', dues, '-inf', ms)
if late[1] then return { late } end
local tenant, number = pick(call)
return tenant and { {}, tenant, number } or { {} }
