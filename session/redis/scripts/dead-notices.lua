-- Notices that were given up, those of the newest leaves first. ARGV: 3 tenant, 4 how many at the most, 5 the name behind which to go on, or empty.
-- Returns name and note of each.
local found = {}
local highest = ARGV[5] == '' and '+' or '(' .. ARGV[5]
for _, name in ipairs(redis.call('ZREVRANGEBYLEX', key('dead', ARGV[3]), highest, '-', 'LIMIT', 0, ARGV[4])) do
  local id, place = string.match(name, '^(.*):(%d+)$')
  table.insert(found, { name, redis.call('HGET', key('notice', id), int(tonumber(place))) or '' })
end
return found
