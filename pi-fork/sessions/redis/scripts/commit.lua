-- One commit: all of it or nothing. ARGV: 1 and 2 as clock and names of the leaf store have them, 3 the session, 4 epoch, 5 call, 6 time in
-- ms, 7 the first sequence number where the writer knows it or empty, 8 leaf that the events belong to, 9 events as the leaf store's log
-- takes them, then the writes, each a letter and its fields:
-- e id parent type customType body · u id row · v space name json · d space name · l space name json · x space name.
-- A parent is empty or begins with p. Returns the first sequence number and the totals.
if not owns(ARGV[4]) then return STALE end
local known = redis.call('HMGET', meta, 'id', 'next', 'call', 'first')
if not known[1] then return { err = 'UNKNOWN_SESSION' } end
-- This very commit was made before, and its answer was lost.
if known[3] == ARGV[5] then return { known[4], stats() } end
if ARGV[7] ~= '' and ARGV[7] ~= known[2] then return { err = 'OTHER_WRITER' } end

local events = tonumber(ARGV[9])
local leaf = key('leaf', ARGV[8])
local row
if events > 0 then
  row = redis.call('HMGET', leaf, 'state', 'epoch', 'session', 'seq')
  if row[1] ~= '2' or row[2] ~= ARGV[4] or row[3] ~= NAME then return STALE end
end

local FIELDS = { e = 5, u = 2, v = 3, d = 2, l = 3, x = 2 }
local begin = 10 + 3 * events
local fresh, at = {}, begin
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
at = begin
while at <= #ARGV do
  local kind, a, b, c = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  if kind == 'e' then insert(a, b ~= '' and string.sub(b, 2), seq, ARGV[6], c, ARGV[at + 4], ARGV[at + 5])
  else write(kind, seq, a, b, c) end
  seq = seq + 1
  at = at + 1 + FIELDS[kind]
end
redis.call('HSET', meta, 'next', int(seq), 'call', ARGV[5], 'first', int(first))
-- By the time of their last commit, so that those that nobody uses are found.
redis.call('ZADD', base .. ':pi-sessions', ARGV[6], NAME)
if events > 0 then
  local last = append(ARGV[8], tonumber(row[4]), 9)
  if last > tonumber(row[4]) then
    redis.call('HSET', leaf, 'seq', int(last))
    announce(ARGV[8], last)
  end
end
return { int(first), stats() }
