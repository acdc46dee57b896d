-- Take a duty that nobody has, or keep it. Behind the clock. KEYS: the duty. ARGV: 2 holder, 3 for how long, in ms. Returns 1 if the holder has it.
local known = redis.call('HMGET', KEYS[1], 'holder', 'until')
if known[1] and known[1] ~= ARGV[2] and tonumber(known[2]) > us / 1000 then return 0 end
redis.call('HSET', KEYS[1], 'holder', ARGV[2], 'until', string.format('%.0f', us / 1000 + ARGV[3]))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
