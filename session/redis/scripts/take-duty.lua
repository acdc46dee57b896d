-- include: clock
-- Take a duty that nobody has, or keep it. KEYS: 1 the duty. ARGV: 1 time as clock.lua has it, 2 holder, 3 for how long, in ms. Returns 1 if the holder
-- has it.
local duty, holder, ttlMs = KEYS[1], ARGV[2], ARGV[3]
local knownHolder, untilMs = unpack(redis.call('HMGET', duty, 'holder', 'until'))
if knownHolder and knownHolder ~= holder and tonumber(untilMs) > us / 1000 then return 0 end
redis.call('HSET', duty, 'holder', holder, 'until', string.format('%.0f', us / 1000 + ttlMs))
redis.call('PEXPIRE', duty, ttlMs)
return 1
