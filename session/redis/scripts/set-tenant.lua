-- include: index
-- Set what a tenant may take. KEYS: the index. ARGV: 3 tenant, 4 weight, 5 running leaves at the most. 1 and 0 are what a tenant has that has none.
local tenant, weight, max = ARGV[3], ARGV[4], ARGV[5]
local row = ix .. ':tenant:' .. tenant
if weight == '1' and max == '0' then
  redis.call('HDEL', row, 'weight', 'max')
else
  redis.call('HSET', row, 'weight', weight, 'max', max)
end
if tonumber(max) > 0 then redis.call('SADD', ix .. ':capped', tenant) else redis.call('SREM', ix .. ':capped', tenant) end
local running, isOn = unpack(redis.call('HMGET', row, 'running', 'on'))
local on = redis.call('EXISTS', ix .. ':best:' .. tenant) == 1 and not capped(tenant, max, tonumber(running or 0))
if on and isOn ~= '1' then
  redis.call('HSET', row, 'on', '1')
  join(tenant)
elseif not on and isOn == '1' then
  redis.call('HSET', row, 'on', '0')
  redis.call('ZREM', fair, tenant)
end
return 'OK'
