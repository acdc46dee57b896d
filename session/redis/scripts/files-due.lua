-- Leaves whose files have to be written, the one that waits for longest first. ARGV: 3 leaves at the most. Returns of each id and record.
local due = {}
for _, id in ipairs(redis.call('ZRANGE', base .. ':files', 0, ARGV[3] - 1)) do
  table.insert(due, id)
  table.insert(due, record(id))
end
return due
