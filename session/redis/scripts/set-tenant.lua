-- Set what a tenant may take. KEYS: the index. ARGV: 3 tenant, 4 weight, 5 running leaves at the most. 1 and 0 are what a tenant has that has none.
local row = ix .. ':tenant:' .. ARGV[3]
if ARGV[4] == '1' and ARGV[5] == '0' then
  redis.call('HDEL', row, 'weight', 'max')
else
  redis.call('HSET', row, 'weight', ARGV[4], 'max', ARGV[5])
end
if tonumber(ARGV[5]) > 0 then redis.call('SADD', ix .. ':capped', ARGV[3]) else redis.call('SREM', ix .. ':capped', ARGV[3]) end
local known = redis.call('HMGET', row, 'running', 'on')
local on = redis.call('EXISTS', ix .. ':best:' .. ARGV[3]) == 1 and not capped(ARGV[3], ARGV[5], tonumber(known[1] or 0))
if on and known[2] ~= '1' then
  redis.call('HSET', row, 'on', '1')
  join(ARGV[3])
elseif not on and known[2] == '1' then
  redis.call('HSET', row, 'on', '0')
  redis.call('ZREM', fair, ARGV[3])
end
return 'OK'
