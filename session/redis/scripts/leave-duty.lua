-- Let go of a duty. KEYS: the duty. ARGV: 1 holder.
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 'OK'
