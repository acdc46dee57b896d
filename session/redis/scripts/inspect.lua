-- include: queue
-- What became ready by time alone is ready. If ARGV[3] is a cursor, the index is told of some 300 tenants, whatever it was told before.
-- Returns what the index must be told, and the next cursor, '0' at the end.
local cursor = ARGV[3]
local compares, nextCursor = cursor ~= '', cursor
promote()
numbers().told = '?'
if compares then
  local tenants
  nextCursor, tenants = unpack(redis.call('HSCAN', base .. ':meta', cursor, 'MATCH', 't:*', 'COUNT', 300))
  for i = 1, #tenants, 2 do rowOf(string.sub(tenants[i], 3)) end
end
return { close(compares), nextCursor }
