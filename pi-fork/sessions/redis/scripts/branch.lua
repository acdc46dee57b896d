-- include: lib
-- The path from an entry to its root. ARGV: 2 entry, 3 'oldestFirst' or 'newestFirst', 4 sequence number that entries must lie after or
-- empty, 5 type to stop at, 6 id to stop at after a colon, 7 type, 8 custom type after a colon (each of them may be empty), 9 limit,
-- 10 '1' for bodies, 11 where to go on: an entry's id after a colon, or a depth; empty at first.
-- Looks at some 500 entries. Returns where to go on, empty at the end, and the entries.
local startId, oldestFirst, cursor, stopType, stopId = ARGV[2], ARGV[3] == 'oldestFirst', tonumber(ARGV[4]), ARGV[5], ARGV[6]
local kind, custom, limit, whole, goOn = ARGV[7], ARGV[8], tonumber(ARGV[9]), ARGV[10] == '1', ARGV[11]
local stops = stopType ~= '' or stopId ~= ''
local start = head(startId)
if not start then return { err = 'UNKNOWN_ENTRY ' .. startId } end

-- The deepest of an entry and its ancestors that `fits`, which holds from some depth on upwards; nothing if none does.
local function climb(entry, fits)
  while not fits(entry) do
    if not entry.parent then return nil end
    local far = head(entry.jump)
    entry = far.id ~= entry.id and not fits(far) and far or head(entry.parent)
  end
  return entry
end

-- Show an entry if it is asked for; tells whether the scan ends with it.
local function visit(entry)
  local behind = not cursor or (oldestFirst and entry.seq > cursor) or (not oldestFirst and entry.seq < cursor)
  if behind and (kind == '' or entry.type == kind) and (custom == '' or ':' .. entry.custom == custom) then
    show(entry, whole)
  end
  return count >= limit or entry.type == stopType or ':' .. entry.id == stopId
end

if not oldestFirst then
  local entry = goOn ~= '' and head(string.sub(goOn, 2)) or start
  -- An entry to stop at may lie before the cursor, so only without one the way there can be cut short.
  if cursor and not stops and goOn == '' then
    entry = climb(entry, function(each) return each.seq < cursor end)
  end
  for _ = 1, PAGE do
    if not entry or visit(entry) then return { '', shown() } end
    if not entry.parent then return { '', shown() } end
    if size > PAGE_BYTES then return { ':' .. entry.parent, shown() } end
    entry = head(entry.parent)
  end
  return { ':' .. entry.id, shown() }
end

local lowest = tonumber(goOn) or 1
if cursor and not stops and goOn == '' then
  local before = climb(start, function(each) return each.seq <= cursor end)
  lowest = before and before.depth + 1 or 1
end
local highest = math.min(lowest + PAGE - 1, start.depth)
if lowest > highest then return { '', shown() } end
local path = {}
local entry = climb(start, function(each) return each.depth <= highest end)
while entry and entry.depth >= lowest do
  path[entry.depth - lowest + 1] = entry
  entry = entry.parent and head(entry.parent)
end
for _, each in ipairs(path) do
  if visit(each) then return { '', shown() } end
  if size > PAGE_BYTES and each.depth < start.depth then return { int(each.depth + 1), shown() } end
end
return { highest < start.depth and int(highest + 1) or '', shown() }
