-- include: lib
-- Values of a space in the order of their names, at most 500. ARGV: 2 space, 3 lowest and 4 highest name as ZRANGE BYLEX takes them.
-- Returns each name and its value.
local space, lowest, highest = ARGV[2], ARGV[3], ARGV[4]
local found = {}
for _, name in ipairs(redis.call('ZRANGE', pi .. 'names:' .. space, lowest, highest, 'BYLEX', 'LIMIT', 0, PAGE)) do
  table.insert(found, name)
  table.insert(found, redis.call('HGET', pi .. 'values:' .. space, name))
end
return found
