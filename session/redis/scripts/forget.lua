-- Forget tenants that have neither ready nor running leaves, as the index was told. ARGV: 3 version of those news, from 4 on tenants.
for i = 4, #ARGV do
  local row = rowOf(ARGV[i])
  if row.running == 0 and row.best == '' and row.version <= tonumber(ARGV[3]) then redis.call('HDEL', base .. ':meta', 't:' .. ARGV[i]) end
end
return 'OK'
