-- Entries by sequence number. ARGV: 2 lowest, 3 highest, 4 'desc' or 'asc', 5 type or empty, 6 custom type behind a colon or empty, 7 limit.
-- Looks at no more than 500. Returns the sequence number to go on behind, empty at the end, and the entries.
local any = ARGV[5] == '' and ARGV[6] == ''
local limit = tonumber(ARGV[7])
local page = any and math.min(PAGE, limit) or PAGE
local ids = ARGV[4] == 'desc' and redis.call('ZRANGE', order, ARGV[3], ARGV[2], 'BYSCORE', 'REV', 'LIMIT', 0, page)
  or redis.call('ZRANGE', order, ARGV[2], ARGV[3], 'BYSCORE', 'LIMIT', 0, page)
if #ids == 0 then return { '', shown() } end
if any then
  local last, packed = showAll(ids, 1)
  local _, seq = cmsgpack.unpack(packed)
  return { (last < #ids or #ids == page) and int(seq) or '', shown() }
end
local last
for _, id in ipairs(ids) do
  if count >= limit or size > PAGE_BYTES then return { int(last), shown() } end
  local entry = head(id)
  last = entry.seq
  if (ARGV[5] == '' or entry.type == ARGV[5]) and (ARGV[6] == '' or ':' .. entry.custom == ARGV[6]) then show(entry, true) end
end
return { #ids == page and int(last) or '', shown() }
