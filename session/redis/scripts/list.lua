-- Leaves, newest first, with an order below ARGV[3] (empty: all), at most ARGV[4], looking at no more than 500. ARGV[5] names the index to
-- walk, ARGV[6] the encoded end of the session's name or is empty; each further argument is a list of indexes, separated by line breaks, of
-- which one must hold the leaf.
-- Returns the order to go on below, empty at the end, and order and id of each leaf found.
local below = ARGV[3] == '' and '+inf' or '(' .. ARGV[3]
local seen = redis.call('ZRANGE', base .. ':' .. ARGV[5], below, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 500, 'WITHSCORES')
local groups = {}
for i = 7, #ARGV do
  groups[i - 6] = {}
  for name in string.gmatch(ARGV[i], '[^\n]+') do table.insert(groups[i - 6], base .. ':' .. name) end
end
local function matches(id)
  if ARGV[6] ~= '' then
    local session = redis.call('HGET', key('leaf', id), 'session')
    if not session or string.match(session, '/(.*)$') ~= ARGV[6] then return false end
  end
  for _, names in ipairs(groups) do
    local found = false
    for _, name in ipairs(names) do found = found or redis.call('ZSCORE', name, id) ~= false end
    if not found then return false end
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
