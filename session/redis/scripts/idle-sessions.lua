-- include: queue
-- Sessions without a leaf. ARGV: 3 ms since their last owner came, 4 how many to skip, 5 how many at the most. Returns how many there are, then of each
-- its name and its epoch.
local idleMs, skip, limit = tonumber(ARGV[3]), ARGV[4], ARGV[5]
local leafless, latest = base .. ':leafless', int(now - idleMs)
local found = redis.call('ZRANGEBYSCORE', leafless, '-inf', latest, 'WITHSCORES', 'LIMIT', skip, limit)
for i = 2, #found, 2 do found[i] = int(tonumber(found[i])) end
return { int(redis.call('ZCOUNT', leafless, '-inf', latest)), unpack(found) }
