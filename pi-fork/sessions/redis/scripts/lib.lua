-- What the scripts of Pi's sessions share. NAME is the session's name as the leaf store has it: the loader sets it, to ARGV[1] in all scripts but
-- commit.lua. KEYS[1] is the partition's name in braces, which every key begins with.
local base = KEYS[1]
local pi = base .. ':pi:' .. NAME .. ':'
local meta, heads, bodies, order = pi .. 'meta', pi .. 'heads', pi .. 'bodies', pi .. 'order'

local PAGE, PAGE_BYTES = 500, 1048576
local USAGE = { 'input', 'output', 'cacheRead', 'cacheWrite', 'cacheWrite1h', 'reasoning', 'totalTokens' }
local COST = { 'input', 'output', 'cacheRead', 'cacheWrite', 'total' }

local function int(number) return string.format('%.0f', number) end

-- What is known of an entry without its body. `depth` counts from the root, which is 1; `jump` is an ancestor further up, so that any
-- ancestor is found in a number of steps that grows with the logarithm of the depth. It is packed after the body's length.
local function head(id)
  local packed = redis.call('HGET', heads, id)
  if not packed then return nil end
  local _, seq, depth, jump, parent, _, kind, custom = cmsgpack.unpack(packed)
  return { id = id, seq = seq, depth = depth, jump = jump, parent = parent, type = kind, custom = custom, packed = packed }
end

-- What the client reads, in one string, since each string of a reply costs it more than reading on in one: of each entry its id and the
-- length of the body that follows, its head, and its body if `whole` is set.
local found, count, size = {}, 0, 0
local function put(id, packed, body)
  count = count + 1
  found[count] = cmsgpack.pack(id, #body) .. packed .. body
end

local function show(entry, whole)
  local body = whole and redis.call('HGET', bodies, entry.id) or ''
  size = size + #body
  put(entry.id, entry.packed, body)
end

local function shown() return table.concat(found) end

-- Show entries whole, from `ids[from]` on, up to some 1 MiB; those that are not there are left out. Returns the place of the last one that
-- was looked at, and its head.
local function showAll(ids, from)
  local packed = redis.call('HMGET', heads, unpack(ids, from))
  local wanted, rows, last = {}, {}, from - 1
  for i = from, #ids do
    if size > PAGE_BYTES then break end
    last = i
    local row = packed[i - from + 1]
    if row then
      local _, bytes = cmsgpack.unpack_one(row)
      size = size + bytes
      wanted[#wanted + 1], rows[#rows + 1] = ids[i], row
    end
  end
  if #wanted > 0 then
    for i, body in ipairs(redis.call('HMGET', bodies, unpack(wanted))) do put(wanted[i], rows[i], body or '') end
  end
  return last, packed[last - from + 1]
end

-- The owner may write. An empty epoch asks for no proof.
local function owns(epoch)
  return epoch == '' or redis.call('HGET', base .. ':session:' .. NAME, 'epoch') == epoch
end

local STALE = { err = 'STALE_EPOCH' }

-- Number of messages, and the usage's fields that were ever set with their sums.
local function stats()
  local fields = redis.call('HGETALL', pi .. 'usage-sums')
  return { redis.call('HGET', meta, 'messages') or '0', fields }
end

local function addUsage(usage)
  local function add(name, value)
    if type(value) ~= 'number' then return end
    local sum = tonumber(redis.call('HGET', pi .. 'usage-sums', name) or '0') + value
    redis.call('HSET', pi .. 'usage-sums', name, string.format('%.17g', sum))
  end
  for _, name in ipairs(USAGE) do add(name, usage[name]) end
  for _, name in ipairs(COST) do add('cost.' .. name, usage.cost[name]) end
end

-- Put an entry after its parent.
local function insert(id, parent, seq, time, kind, custom, body)
  local above = parent and head(parent)
  local depth, jump = 1, id
  if above then
    local further = head(above.jump)
    depth = above.depth + 1
    jump = above.depth - further.depth == further.depth - head(further.jump).depth and further.jump or parent
  end
  redis.call('HSET', heads, id, cmsgpack.pack(#body, seq, depth, jump, parent or false, time, kind, custom))
  redis.call('HSET', bodies, id, body)
  redis.call('ZADD', order, int(seq), id)
  if kind == 'message' then redis.call('HINCRBY', meta, 'messages', 1) end
end

local function setValue(space, name, seq, json)
  redis.call('SADD', pi .. 'spaces', space)
  redis.call('ZADD', pi .. 'names:' .. space, 0, name)
  redis.call('HSET', pi .. 'values:' .. space, name, int(seq) .. ':' .. json)
end

-- Any write but an entry: its letter, its number and its fields, as a commit has them.
local function write(kind, seq, a, b, c)
  if kind == 'u' then
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
end

-- Remove everything of the session, 500 lists at a time; tells whether there is more.
local function wipe()
  redis.call('ZREM', base .. ':pi-sessions', NAME)
  redis.call('UNLINK', meta, heads, bodies, order, pi .. 'usage', pi .. 'usage-ids', pi .. 'usage-sums')
  for _, space in ipairs(redis.call('SMEMBERS', pi .. 'spaces')) do
    redis.call('UNLINK', pi .. 'names:' .. space, pi .. 'values:' .. space)
  end
  redis.call('UNLINK', pi .. 'spaces')
  for _, name in ipairs(redis.call('SPOP', pi .. 'lists', PAGE)) do redis.call('UNLINK', pi .. 'list:' .. name) end
  return redis.call('EXISTS', pi .. 'lists') == 1
end
