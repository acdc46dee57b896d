-- Schedules. ARGV: 3 lowest and 4 highest name as ZRANGE BYLEX takes them, 5 how many at the most.
local found = {}
for _, name in ipairs(redis.call('ZRANGE', all, ARGV[3], ARGV[4], 'BYLEX', 'LIMIT', 0, ARGV[5])) do table.insert(found, shown(name)) end
return found
