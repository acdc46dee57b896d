-- Let go of a duty. KEYS: 1 the duty. ARGV: 1 holder.
local duty, holder = KEYS[1], ARGV[1]
if redis.call('HGET', duty, 'holder') == holder then redis.call('DEL', duty) end
return 'OK'
