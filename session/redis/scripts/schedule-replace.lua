-- include: schedules
-- Write a record that was read and changed. ARGV: 3 name, 4 call, 5 the version that was read, 6 record, 7 its version, 8 due in ms. Returns '1' if
-- this call wrote it, '0' if another version stands, or none.
local name, call, readVersion, record, version, due = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local knownVersion, knownCall = unpack(redis.call('HMGET', key('at', name), 'version', 'call'))
if knownCall == call then return '1' end
if knownVersion ~= readVersion then return '0' end
write(name, call, record, version, due)
return '1'
