-- include: sandboxes
-- Note that a sandbox is there. ARGV: 3 name, 4 sandbox, 5 state, 6 tenant, 7 labels, 8 capacity, 9 for how long it counts as there, in ms.
local name, sandbox, state, tenant, labels, capacity, life = unpack(ARGV, 3, 9)
redis.call('SADD', all, name)
redis.call('HSET', key('at', name), 'sandbox', sandbox, 'state', state, 'tenant', tenant, 'labels', labels, 'capacity', capacity,
  'alive', int(now + tonumber(life)))
weigh(name)
return 'OK'
