-- include: names
-- Forget tombstones whose idempotency keys were given back. ARGV: from 3 on the leaves.
for _, id in ipairs({ unpack(ARGV, 3) }) do
  redis.call('DEL', key('tomb', id))
  redis.call('ZREM', base .. ':tombs', id)
end
return 'OK'
