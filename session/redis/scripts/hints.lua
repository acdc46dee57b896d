-- Which partitions to ask. KEYS: ready, due. ARGV: 1 time in ms or empty. Returns the ms until the next one may have something ready by time
-- alone, or an empty text; those that have something ready, the one with the oldest leaf first; those where a time is over.
local now = string.format('%.0f', us)
local next = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
local wait = next[2] and string.format('%.0f', math.ceil((tonumber(next[2]) - us) / 1000)) or ''
return { wait, redis.call('ZRANGE', KEYS[1], 0, -1), redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now) }
