-- One commit: all of it or nothing. ARGV: 2 epoch, 3 call, 4 time in ms, then the writes, each a letter and its fields:
-- e id parent type customType body · u id row · v space name json · d space name · l space name json · x space name.
-- A parent is empty or begins with p. Returns the first sequence number and the totals.
if not owns(ARGV[2]) then return STALE end
local known = redis.call('HMGET', meta, 'id', 'next', 'call', 'first')
if not known[1] then return { err = 'UNKNOWN_SESSION' } end
-- This very commit was made before, and its answer was lost.
if known[3] == ARGV[3] then return { known[4], stats() } end

local FIELDS = { e = 5, u = 2, v = 3, d = 2, l = 3, x = 2 }
local fresh, at = {}, 5
while at <= #ARGV do
  local kind, id = ARGV[at], ARGV[at + 1]
  if kind == 'e' or kind == 'u' then
    if fresh[id] or redis.call('HEXISTS', heads, id) == 1 or redis.call('SISMEMBER', pi .. 'usage-ids', id) == 1 then
      return { err = 'DUPLICATE_ID ' .. id }
    end
    local parent = kind == 'e' and string.sub(ARGV[at + 2], 2) or ''
    if kind == 'e' and ARGV[at + 2] ~= '' and fresh[parent] ~= 'e' and redis.call('HEXISTS', heads, parent) == 0 then
      return { err = 'MISSING_PARENT ' .. parent }
    end
    fresh[id] = kind
  end
  at = at + 1 + FIELDS[kind]
end

local first = tonumber(known[2])
local seq = first
at = 5
while at <= #ARGV do
  local kind, a, b, c = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  if kind == 'e' then
    insert(a, b ~= '' and string.sub(b, 2), seq, ARGV[4], c, ARGV[at + 4], ARGV[at + 5])
  elseif kind == 'u' then
    redis.call('SADD', pi .. 'usage-ids', a)
    redis.call('XADD', pi .. 'usage', int(seq) .. '-0', 'r', b)
    addUsage(cjson.decode(b).usage)
  elseif kind == 'v' then
    setValue(a, b, seq, c)
  elseif kind == 'd' then
    redis.call('ZREM', pi .. 'names:' .. a, b)
    redis.call('HDEL', pi .. 'values:' .. a, b)
  elseif kind == 'l' then
    redis.call('SADD', pi .. 'lists', a .. ':' .. b)
    redis.call('XADD', pi .. 'list:' .. a .. ':' .. b, int(seq) .. '-0', 'v', c)
  else
    redis.call('SREM', pi .. 'lists', a .. ':' .. b)
    redis.call('UNLINK', pi .. 'list:' .. a .. ':' .. b)
  end
  seq = seq + 1
  at = at + 1 + FIELDS[kind]
end
redis.call('HSET', meta, 'next', int(seq), 'call', ARGV[3], 'first', int(first))
return { int(first), stats() }
