-- Write a schedule. ARGV: 3 name, 4 call, 5 record, 6 version, 7 due in ms, 8 lowest and 9 highest name of its tenant as ZRANGE BYLEX takes them,
-- 10 how many it may have. Returns '1' if this call wrote it, and the record that is there; no record if the tenant has as many already.
local known = redis.call('HMGET', key('at', ARGV[3]), 'record', 'call')
if known[1] then return { known[2] == ARGV[4] and '1' or '0', known[1] } end
if redis.call('ZLEXCOUNT', all, ARGV[8], ARGV[9]) >= tonumber(ARGV[10]) then return { '0' } end
redis.call('ZADD', all, 0, ARGV[3])
write(ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7])
return { '1', ARGV[5] }
