-- Write a part of a session that is made as a copy, before it is created. ARGV: 2 epoch, then e seq id parent time type customType body, and
-- v seq space name json. The same part may be written again.
if not owns(ARGV[2]) then return STALE end
if redis.call('HEXISTS', meta, 'id') == 1 then return { err = 'SESSION_EXISTS' } end
local at = 3
while at <= #ARGV do
  local seq, a, b = tonumber(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3]
  if ARGV[at] == 'e' then
    if redis.call('HEXISTS', heads, a) == 0 then
      insert(a, b ~= '' and string.sub(b, 2), seq, ARGV[at + 4], ARGV[at + 5], ARGV[at + 6], ARGV[at + 7])
    end
    at = at + 8
  else
    setValue(a, b, seq, ARGV[at + 4])
    at = at + 5
  end
end
return 'OK'
