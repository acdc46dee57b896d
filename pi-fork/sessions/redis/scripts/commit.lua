-- include: log, lib
-- One commit: all of it or nothing. ARGV: 1 and 2 as clock and names of the leaf store have them, 3 the session, 4 epoch, 5 call, 6 time in
-- ms, 7 the first sequence number if the writer knows it, or empty, 8 leaf that the events belong to, 9 events as the leaf store's log
-- takes them, then the writes, each a letter and its fields:
-- e id parent type customType body · u id row · v space name json · d space name · l space name json · x space name.
-- A parent is empty or begins with p. Returns the first sequence number and the totals.
local epoch, call, time, expected, leafId, EVENTS_AT = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], 9
if not owns(epoch) then return STALE end
local id, nextSeq, lastCall, lastFirst = unpack(redis.call('HMGET', meta, 'id', 'next', 'call', 'first'))
if not id then return { err = 'UNKNOWN_SESSION' } end
-- This very commit was made before, and its answer was lost.
if lastCall == call then return { lastFirst, stats() } end
if expected ~= '' and expected ~= nextSeq then return { err = 'OTHER_WRITER' } end

local events, leaf, leafSeq = tonumber(ARGV[EVENTS_AT]), key('leaf', leafId), nil
if events > 0 then
  local state, leafEpoch, session, seq = unpack(redis.call('HMGET', leaf, 'state', 'epoch', 'session', 'seq'))
  if state ~= '2' or leafEpoch ~= epoch or session ~= NAME then return STALE end
  leafSeq = tonumber(seq)
end

local FIELDS = { e = 5, u = 2, v = 3, d = 2, l = 3, x = 2 }
local begin = EVENTS_AT + 1 + 3 * events
local fresh, at = {}, begin
while at <= #ARGV do
  local kind, id, above = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if kind == 'e' or kind == 'u' then
    if fresh[id] or redis.call('HEXISTS', heads, id) == 1 or redis.call('SISMEMBER', pi .. 'usage-ids', id) == 1 then
      return { err = 'DUPLICATE_ID ' .. id }
    end
    local parent = kind == 'e' and string.sub(above, 2) or ''
    if kind == 'e' and above ~= '' and fresh[parent] ~= 'e' and redis.call('HEXISTS', heads, parent) == 0 then
      return { err = 'MISSING_PARENT ' .. parent }
    end
    fresh[id] = kind
  end
  at = at + 1 + FIELDS[kind]
end

local first = tonumber(nextSeq)
local seq = first
at = begin
while at <= #ARGV do
  local kind, a, b, c, custom, body = unpack(ARGV, at, at + 5)
  if kind == 'e' then insert(a, b ~= '' and string.sub(b, 2), seq, time, c, custom, body)
  else write(kind, seq, a, b, c) end
  seq = seq + 1
  at = at + 1 + FIELDS[kind]
end
redis.call('HSET', meta, 'next', int(seq), 'call', call, 'first', int(first))
-- By the time of their last commit, so that those that nobody uses are found.
redis.call('ZADD', base .. ':pi-sessions', time, NAME)
if events > 0 then
  local last = append(leafId, leafSeq, EVENTS_AT)
  if last > leafSeq then
    redis.call('HSET', leaf, 'seq', int(last))
    announce(leafId, last)
  end
end
return { int(first), stats() }
