-- Entries by sequence number. ARGV: 2 lowest, 3 highest, 4 'desc' or 'asc', 5 type or empty, 6 custom type behind a colon or empty, 7 limit.
-- Looks at no more than 500. Returns the sequence number to go on behind, empty at the end, and the entries.
local ids = ARGV[4] == 'desc' and redis.call('ZRANGE', order, ARGV[3], ARGV[2], 'BYSCORE', 'REV', 'LIMIT', 0, PAGE)
  or redis.call('ZRANGE', order, ARGV[2], ARGV[3], 'BYSCORE', 'LIMIT', 0, PAGE)
local found, size, last = {}, 0, nil
for _, id in ipairs(ids) do
  if #found >= tonumber(ARGV[7]) or size > PAGE_BYTES then return { int(last), found } end
  local entry = head(id)
  last = entry.seq
  if (ARGV[5] == '' or entry.type == ARGV[5]) and (ARGV[6] == '' or ':' .. entry.custom == ARGV[6]) then
    table.insert(found, shown(entry, true))
    size = size + #found[#found][7]
  end
end
return { #ids == PAGE and int(last) or '', found }
