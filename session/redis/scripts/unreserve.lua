-- Give an idempotency key back if it still stands for a leaf that was never written. KEYS: 1 the key. ARGV: 1 leaf id.
local reservation, id = KEYS[1], ARGV[1]
if redis.call('HGET', reservation, 'leaf') == id then return redis.call('DEL', reservation) end
return 0
