-- include: notices
-- When the next notice is due. ARGV: from 3 on tenants that are left out. Returns the ms until then, 0 if one is due, or an empty text.
local SKIPPED_AT = 3
if dueTenants(SKIPPED_AT)[1] then return '0' end
local later = redis.call('ZRANGEBYSCORE', base .. ':outbox', '(' .. ms, '+inf', 'WITHSCORES', 'LIMIT', 0, #ARGV - 1)
for i = 1, #later, 2 do
  local tenant, time, skipped = later[i], tonumber(later[i + 1]), false
  for j = SKIPPED_AT, #ARGV do skipped = skipped or ARGV[j] == tenant end
  if not skipped then return int(math.max(1, time - now)) end
end
return ''
