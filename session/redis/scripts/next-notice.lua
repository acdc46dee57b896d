-- When the next notice is due. ARGV: from 3 on tenants that are left out. Returns the ms until then, 0 if one is due, or an empty text.
if dueTenants(3)[1] then return '0' end
local later = redis.call('ZRANGEBYSCORE', base .. ':outbox', '(' .. ms, '+inf', 'WITHSCORES', 'LIMIT', 0, #ARGV - 1)
for i = 1, #later, 2 do
  local skipped = false
  for j = 3, #ARGV do skipped = skipped or ARGV[j] == later[i] end
  if not skipped then return int(math.max(1, tonumber(later[i + 1]) - now)) end
end
return ''
