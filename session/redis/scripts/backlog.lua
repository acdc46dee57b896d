-- What waits and what runs. Returns ready, running, and the next due time in ms or an empty text.
local leases, later = base .. ':leases', base .. ':later'
local ready = numbers().ready + redis.call('ZCOUNT', leases, '-inf', ms) + redis.call('ZCOUNT', later, '-inf', ms)
local due = ''
for _, times in ipairs({ leases, later }) do
  local head = redis.call('ZRANGEBYSCORE', times, '(' .. ms, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if head[2] and (due == '' or tonumber(head[2]) < tonumber(due)) then due = int(tonumber(head[2])) end
end
return { int(ready), int(redis.call('ZCOUNT', leases, '(' .. ms, '+inf')), due }
