-- The partition's own hints, exact, whatever the index was told before. Returns version and hints.
promote()
local news = exact()
if news[1] then return news end
return redis.call('HMGET', meta, 'version', 'ready', 'due')
