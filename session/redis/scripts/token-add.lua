-- include: tokens
-- Keep a token's description. ARGV: 3 id, 4 name, 5 token, 6 when it expires in ms, 7 expired ones to forget at the most.
local id, name, token, expires, limit = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
for _, old in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', ms, 'LIMIT', 0, limit)) do
  redis.call('ZREM', all, redis.call('HGET', key('at', old), 'name') or '')
  redis.call('DEL', key('at', old))
  redis.call('ZREM', ends, old)
end
redis.call('HSET', key('at', id), 'token', token, 'name', name, 'expires', expires)
redis.call('ZADD', all, 0, name)
redis.call('ZADD', ends, expires, id)
return 'OK'
