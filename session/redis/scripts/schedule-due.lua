-- Schedules that something is to be done for, the longest due first, at most ARGV[3]; when the next one is, in ms or an empty text; the time, in ms.
local found = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', upcoming, '-inf', ms, 'LIMIT', 0, ARGV[3])) do table.insert(found, shown(name)) end
local next = redis.call('ZRANGEBYSCORE', upcoming, '(' .. ms, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return { found, next[2] and int(tonumber(next[2])) or '', ms }
