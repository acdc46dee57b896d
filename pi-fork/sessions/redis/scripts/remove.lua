-- Delete a session that has no leaf any more, 500 lists at a time. ARGV: 2 nothing, 3 its last owner's epoch. Returns '1' while there is more to delete, '0'
-- where it is gone, '' where it has got a leaf or another owner since.
if not redis.call('ZSCORE', base .. ':leafless', NAME) or redis.call('HGET', base .. ':session:' .. NAME, 'epoch') ~= ARGV[3] then return '' end
return wipe() and '1' or '0'
