-- Sessions without a leaf. ARGV: 3 ms since their last owner came, 4 how many to skip, 5 how many at the most. Returns how many there are, then of each
-- its name and its epoch.
local idle, since = base .. ':leafless', int(now - tonumber(ARGV[3]))
local found = redis.call('ZRANGEBYSCORE', idle, '-inf', since, 'WITHSCORES', 'LIMIT', ARGV[4], ARGV[5])
for i = 2, #found, 2 do found[i] = int(tonumber(found[i])) end
return { int(redis.call('ZCOUNT', idle, '-inf', since)), unpack(found) }
