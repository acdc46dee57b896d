-- include: queue
-- Forget tenants that have neither ready nor running leaves, as the index was told. ARGV: 3 version of those news, from 4 on tenants.
local version = tonumber(ARGV[3])
for _, tenant in ipairs({ unpack(ARGV, 4) }) do
  local row = rowOf(tenant)
  if row.running == 0 and row.best == '' and row.version <= version then redis.call('HDEL', base .. ':meta', 't:' .. tenant) end
end
return 'OK'
