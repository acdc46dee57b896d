-- include: lib
-- Entries by sequence number. ARGV: 2 lowest, 3 highest, 4 'desc' or 'asc', 5 type or empty, 6 custom type after a colon or empty, 7 limit.
-- Looks at no more than 500. Returns the sequence number to go on after, empty at the end, and the entries.
local lowest, highest, descending, kind, custom, limit = ARGV[2], ARGV[3], ARGV[4] == 'desc', ARGV[5], ARGV[6], tonumber(ARGV[7])
local any = kind == '' and custom == ''
local page = any and math.min(PAGE, limit) or PAGE
local ids = descending and redis.call('ZRANGE', order, highest, lowest, 'BYSCORE', 'REV', 'LIMIT', 0, page)
  or redis.call('ZRANGE', order, lowest, highest, 'BYSCORE', 'LIMIT', 0, page)
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
  if (kind == '' or entry.type == kind) and (custom == '' or ':' .. entry.custom == custom) then show(entry, true) end
end
return { #ids == page and int(last) or '', shown() }
