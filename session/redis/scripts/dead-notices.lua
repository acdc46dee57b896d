-- include: names
-- Notices that were given up, those of the newest leaves first. ARGV: 3 tenant, 4 how many at the most, 5 the name after which to go on, or empty.
-- Returns name and note of each.
local tenant, limit, after = ARGV[3], ARGV[4], ARGV[5]
local found = {}
for _, name in ipairs(redis.call('ZREVRANGEBYLEX', key('dead', tenant), after == '' and '+' or '(' .. after, '-', 'LIMIT', 0, limit)) do
  local id, place = string.match(name, '^(.*):(%d+)$')
  table.insert(found, { name, redis.call('HGET', key('notice', id), int(tonumber(place))) or '' })
end
return found
