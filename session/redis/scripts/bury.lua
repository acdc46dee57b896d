-- Forget tombstones whose idempotency keys were given back. ARGV: from 3 on the leaves.
for i = 3, #ARGV do
  redis.call('DEL', key('tomb', ARGV[i]))
  redis.call('ZREM', base .. ':tombs', ARGV[i])
end
return 'OK'
