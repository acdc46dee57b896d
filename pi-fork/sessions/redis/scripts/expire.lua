-- Delete a session that nobody uses. ARGV: 2 nothing, 3 a time in ms, 4 next sequence number. Returns '1' while there is more to delete, '0' where
-- it is gone, '' where it was written to since that time or stands elsewhere, or has a leaf that is not over.
if redis.call('HEXISTS', base .. ':session:' .. NAME, 'head') == 1 then return '' end
local at = redis.call('ZSCORE', base .. ':pi-sessions', NAME)
if not at or tonumber(at) > tonumber(ARGV[3]) or redis.call('HGET', meta, 'next') ~= ARGV[4] then return '' end
return wipe() and '1' or '0'
