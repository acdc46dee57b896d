-- include: tokens
-- Names, and tokens that are not expired. ARGV: 3 lowest and 4 highest name as ZRANGE BYLEX takes them, 5 how many names at the most.
local lowest, highest, limit = ARGV[3], ARGV[4], ARGV[5]
local found = {}
for _, name in ipairs(redis.call('ZRANGE', all, lowest, highest, 'BYLEX', 'LIMIT', 0, limit)) do
  table.insert(found, name)
  table.insert(found, (shown(string.match(name, ' (.*)$'))) or {})
end
return found
