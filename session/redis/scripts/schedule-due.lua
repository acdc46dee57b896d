-- include: schedules
-- Schedules that something is to be done for, the longest due first. ARGV: 3 how many at the most. Returns them, when the next one is due, in ms or an
-- empty text, and the time, in ms.
local limit = ARGV[3]
local found = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', upcoming, '-inf', ms, 'LIMIT', 0, limit)) do table.insert(found, shown(name)) end
local _, nextDue = unpack(redis.call('ZRANGEBYSCORE', upcoming, '(' .. ms, '+inf', 'WITHSCORES', 'LIMIT', 0, 1))
return { found, nextDue and int(tonumber(nextDue)) or '', ms }
