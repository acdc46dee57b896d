-- Write a part of a session that is made as a copy, before it is created. ARGV: 2 epoch, 3 token of its beginning, 4 call, then
-- e seq id parent time type customType body, and letter seq and three fields for the others as commit.lua has them.
if not owns(ARGV[2]) then return STALE end
local known = redis.call('HMGET', meta, 'restoring', 'call')
if known[1] ~= ARGV[3] then return { err = 'OTHER_IMPORT' } end
if known[2] == ARGV[4] then return 'OK' end
local at = 5
while at <= #ARGV do
  local kind, seq, a, b, c = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  if (kind == 'e' or kind == 'u') and (redis.call('HEXISTS', heads, a) == 1 or redis.call('SISMEMBER', pi .. 'usage-ids', a) == 1) then
    return { err = 'DUPLICATE_ID ' .. a }
  end
  if kind == 'e' then
    local parent = b ~= '' and string.sub(b, 2)
    if parent and redis.call('HEXISTS', heads, parent) == 0 then return { err = 'MISSING_PARENT ' .. a } end
    insert(a, parent, seq, c, ARGV[at + 5], ARGV[at + 6], ARGV[at + 7])
    at = at + 8
  else
    write(kind, seq, a, b, c)
    at = at + 5
  end
end
redis.call('HSET', meta, 'call', ARGV[4])
return 'OK'
