-- The partition's own hint, exact, whatever the index was told before. Returns version and hint.
promote()
local hint = exact()
if hint[1] then return hint end
return { redis.call('HGET', meta, 'version') or '0', redis.call('HGET', meta, 'hint') or '' }
