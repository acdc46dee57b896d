-- What became ready by time alone is ready; and where ARGV[3] is a cursor, the index is told of some 300 tenants, whatever it was told before.
-- Returns what the index must be told, and the next cursor, '0' at the end.
promote()
numbers().told = '?'
local cursor = ARGV[3]
if cursor ~= '' then
  local page = redis.call('HSCAN', base .. ':meta', cursor, 'MATCH', 't:*', 'COUNT', 300)
  cursor = page[1]
  for i = 1, #page[2], 2 do rowOf(string.sub(page[2][i], 3)) end
end
return { close(ARGV[3] ~= ''), cursor }
