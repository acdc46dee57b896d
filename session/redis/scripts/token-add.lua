-- Keep a token's description. ARGV: 3 id, 4 name, 5 token, 6 when it expires in ms, 7 expired ones to forget at the most.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', ms, 'LIMIT', 0, ARGV[7])) do
  redis.call('ZREM', all, redis.call('HGET', key('at', id), 'name') or '')
  redis.call('DEL', key('at', id))
  redis.call('ZREM', ends, id)
end
redis.call('HSET', key('at', ARGV[3]), 'token', ARGV[5], 'name', ARGV[4], 'expires', ARGV[6])
redis.call('ZADD', all, 0, ARGV[4])
redis.call('ZADD', ends, ARGV[6], ARGV[3])
return 'OK'
