-- include: schedules
-- Write a schedule. ARGV: 3 name, 4 call, 5 record, 6 version, 7 due in ms, 8 lowest and 9 highest name of its tenant as ZRANGE BYLEX takes them,
-- 10 how many it may have. Returns '1' if this call wrote it, and the record that is there; no record if the tenant has as many already.
local name, call, record, version, due, lowest, highest, limit =
  ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], tonumber(ARGV[10])
local knownRecord, knownCall = unpack(redis.call('HMGET', key('at', name), 'record', 'call'))
if knownRecord then return { knownCall == call and '1' or '0', knownRecord } end
if redis.call('ZLEXCOUNT', all, lowest, highest) >= limit then return { '0' } end
redis.call('ZADD', all, 0, name)
write(name, call, record, version, due)
return { '1', record }
