-- include: lib
-- Delete a session that nobody uses. ARGV: 2 nothing, 3 a time in ms, 4 next sequence number. Returns '1' while there is more to delete, '0' if
-- it is gone, '' if it was written to since that time or stands elsewhere, or has a leaf that is not over.
local latest, nextSeq = tonumber(ARGV[3]), ARGV[4]
if redis.call('HEXISTS', base .. ':session:' .. NAME, 'head') == 1 then return '' end
local usedAt = redis.call('ZSCORE', base .. ':pi-sessions', NAME)
if not usedAt or tonumber(usedAt) > latest or redis.call('HGET', meta, 'next') ~= nextSeq then return '' end
return wipe() and '1' or '0'
