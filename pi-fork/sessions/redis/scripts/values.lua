-- Values of a space in the order of their names. ARGV: 2 space, 3 lowest and 4 highest name as ZRANGE BYLEX takes them. At most 500.
-- Returns names and values, one behind the other.
local names = redis.call('ZRANGE', pi .. 'names:' .. ARGV[2], ARGV[3], ARGV[4], 'BYLEX', 'LIMIT', 0, PAGE)
local found = {}
for _, name in ipairs(names) do
  table.insert(found, name)
  table.insert(found, redis.call('HGET', pi .. 'values:' .. ARGV[2], name))
end
return found
