-- What waits and what runs. Returns ready, running, and the next due time in ms or an empty text.
local ready = redis.call('ZCARD', again) + redis.call('ZCOUNT', leases, '-inf', ms) + redis.call('ZCOUNT', later, '-inf', ms)
local entries = redis.call('XLEN', work)
-- What was delivered is pending until its entry is deleted, so the rest was never claimed.
if entries > 0 then ready = ready + entries - redis.call('XPENDING', work, 'brains')[1] end
local due = ''
for _, times in ipairs({ leases, later }) do
  local head = redis.call('ZRANGEBYSCORE', times, '(' .. ms, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if head[2] and (due == '' or tonumber(head[2]) < tonumber(due)) then due = int(tonumber(head[2])) end
end
return { int(ready), int(redis.call('ZCOUNT', leases, '(' .. ms, '+inf')), due }
