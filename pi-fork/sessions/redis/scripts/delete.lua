-- include: lib
-- Delete a session, 500 lists at a time. ARGV: 2 epoch, 3 '1' if it must be known. Returns '1' while there is more.
local epoch, mustBeKnown = ARGV[2], ARGV[3] == '1'
if not owns(epoch) then return STALE end
if mustBeKnown and redis.call('HEXISTS', meta, 'id') == 0 then return { err = 'UNKNOWN_SESSION' } end
return wipe() and '1' or '0'
