-- Leaves, newest first, with an order below ARGV[3] (empty: all), at most ARGV[4], looking at no more than 500. ARGV[5] names the index to
-- walk, ARGV[6] the encoded end of the session's name or is empty, ARGV[7] the states of which the leaf must be in one or is empty; each further
-- argument is an index that must hold the leaf.
-- Returns the order to go on below, empty at the end, and order and id of each leaf found.
local below = ARGV[3] == '' and '+inf' or '(' .. ARGV[3]
local seen = redis.call('ZRANGE', base .. ':' .. ARGV[5], below, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 500, 'WITHSCORES')
local function matches(id)
  if ARGV[6] .. ARGV[7] ~= '' then
    local row = redis.call('HMGET', key('leaf', id), 'session', 'state')
    if not row[1] or ARGV[6] ~= '' and string.match(row[1], '/(.*)$') ~= ARGV[6] then return false end
    if ARGV[7] ~= '' and not string.find(ARGV[7], row[2], 1, true) then return false end
  end
  for i = 8, #ARGV do
    if not redis.call('ZSCORE', base .. ':' .. ARGV[i], id) then return false end
  end
  return true
end
local found = {}
for i = 1, #seen, 2 do
  if #found >= tonumber(ARGV[4]) * 2 then return { int(tonumber(found[#found - 1])), found } end
  if matches(seen[i]) then
    table.insert(found, int(tonumber(seen[i + 1])))
    table.insert(found, seen[i])
  end
end
return { #seen == 1000 and int(tonumber(seen[1000])) or '', found }
