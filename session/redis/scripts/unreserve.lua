-- Give an idempotency key back, where it still stands for the leaf ARGV[1], which was never written.
if redis.call('HGET', KEYS[1], 'leaf') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
