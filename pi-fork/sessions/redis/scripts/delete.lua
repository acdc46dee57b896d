-- Delete a session, 500 lists at a time. ARGV: 2 epoch, 3 '1' where it must be known. Returns '1' while there is more.
if not owns(ARGV[2]) then return STALE end
if ARGV[3] == '1' and redis.call('HEXISTS', meta, 'id') == 0 then return { err = 'UNKNOWN_SESSION' } end
return wipe() and '1' or '0'
