-- Write a record that was read and changed. ARGV: 3 name, 4 call, 5 the version that was read, 6 record, 7 its version, 8 due in ms. Returns '1' if
-- this call wrote it, '0' if another version stands, or none.
local row = redis.call('HMGET', key('at', ARGV[3]), 'version', 'call')
if row[2] == ARGV[4] then return '1' end
if row[1] ~= ARGV[5] then return '0' end
write(ARGV[3], ARGV[4], ARGV[6], ARGV[7], ARGV[8])
return '1'
