-- include: lib
-- Write a part of a session that is made as a copy, before it is created. ARGV: 2 epoch, 3 token of its beginning, 4 call, then
-- e seq id parent time type customType body, and letter seq and three fields for the others as commit.lua has them.
local epoch, token, call, WRITES_AT = ARGV[2], ARGV[3], ARGV[4], 5
if not owns(epoch) then return STALE end
local restoring, lastCall = unpack(redis.call('HMGET', meta, 'restoring', 'call'))
if restoring ~= token then return { err = 'OTHER_IMPORT' } end
if lastCall == call then return 'OK' end
local at = WRITES_AT
while at <= #ARGV do
  local kind, number, a, b, c, entryType, custom, body = unpack(ARGV, at, at + 7)
  local seq = tonumber(number)
  if (kind == 'e' or kind == 'u') and (redis.call('HEXISTS', heads, a) == 1 or redis.call('SISMEMBER', pi .. 'usage-ids', a) == 1) then
    return { err = 'DUPLICATE_ID ' .. a }
  end
  if kind == 'e' then
    local parent = b ~= '' and string.sub(b, 2)
    if parent and redis.call('HEXISTS', heads, parent) == 0 then return { err = 'MISSING_PARENT ' .. a } end
    insert(a, parent, seq, c, entryType, custom, body)
    at = at + 8
  else
    write(kind, seq, a, b, c)
    at = at + 5
  end
end
redis.call('HSET', meta, 'call', call)
return 'OK'
