-- include: queue
-- What waits and what runs. ARGV: from 3 on tenants with a cap. Returns ready, running, the next due time in ms or an empty text, and of each of
-- those tenants its ready and its running leaves.
local CAPPED_AT = 3
local leases, later = base .. ':leases', base .. ':later'
local ready = numbers().ready + redis.call('ZCOUNT', leases, '-inf', ms) + redis.call('ZCOUNT', later, '-inf', ms)
local due = ''
for _, times in ipairs({ leases, later }) do
  local _, time = unpack(redis.call('ZRANGEBYSCORE', times, '(' .. ms, '+inf', 'WITHSCORES', 'LIMIT', 0, 1))
  if time and (due == '' or tonumber(time) < tonumber(due)) then due = int(tonumber(time)) end
end
-- Of the leaves that became ready by time alone and were not promoted yet, some 500 are looked at: by tenant, those of ended leases and of ended waits.
local ended, waited = {}, {}
for times, of in pairs(ARGV[CAPPED_AT] and { [leases] = ended, [later] = waited } or {}) do
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', times, '-inf', ms, 'LIMIT', 0, 500)) do
    local tenant = tenantOf(redis.call('HGET', key('leaf', id), 'session'))
    of[tenant] = (of[tenant] or 0) + 1
  end
end
local capped = {}
for i = CAPPED_AT, #ARGV do
  local tenant = ARGV[i]
  local row, over = rowOf(tenant), ended[tenant] or 0
  table.insert(capped, int(redis.call('XLEN', key('work', tenant)) + row.again + over + (waited[tenant] or 0)))
  table.insert(capped, int(row.running - over))
end
return { int(ready), int(redis.call('ZCOUNT', leases, '(' .. ms, '+inf')), due, capped }
