-- include: lib
-- Delete a session that has no leaf any more, 500 lists at a time. ARGV: 2 nothing, 3 its last owner's epoch. Returns '1' while there is more to delete, '0'
-- if it is gone, '' if it has got a leaf or another owner since.
local epoch = ARGV[3]
if not redis.call('ZSCORE', base .. ':leafless', NAME) or redis.call('HGET', base .. ':session:' .. NAME, 'epoch') ~= epoch then return '' end
return wipe() and '1' or '0'
