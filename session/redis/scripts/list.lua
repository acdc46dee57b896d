-- include: names
-- Leaves, newest first; no more than 500 are looked at. ARGV: 3 the order below which to look, or empty, 4 leaves at the most, 5 the index to walk,
-- 6 the encoded end of the session's name or empty, 7 the states of which the leaf must be in one or empty, from 8 on indexes that must hold the leaf.
-- Returns the order to go on below, empty at the end, and order and id of each leaf found.
local order, limit, index, session, states, CHECKS_AT = ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6], ARGV[7], 8
local below = order == '' and '+inf' or '(' .. order
local seen = redis.call('ZRANGE', base .. ':' .. index, below, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 500, 'WITHSCORES')
local function matches(id)
  if session .. states ~= '' then
    local leafSession, state = unpack(redis.call('HMGET', key('leaf', id), 'session', 'state'))
    if not leafSession or session ~= '' and string.match(leafSession, '/(.*)$') ~= session then return false end
    if states ~= '' and not string.find(states, state, 1, true) then return false end
  end
  for i = CHECKS_AT, #ARGV do
    if not redis.call('ZSCORE', base .. ':' .. ARGV[i], id) then return false end
  end
  return true
end
local found = {}
for i = 1, #seen, 2 do
  if #found >= limit * 2 then return { int(tonumber(found[#found - 1])), found } end
  if matches(seen[i]) then
    table.insert(found, int(tonumber(seen[i + 1])))
    table.insert(found, seen[i])
  end
end
return { #seen == 1000 and int(tonumber(seen[1000])) or '', found }
