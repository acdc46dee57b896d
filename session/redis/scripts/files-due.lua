-- include: lib
-- Leaves whose files have to be written, the one that waits for longest first. ARGV: 3 leaves at the most. Returns id and record of each.
local limit = tonumber(ARGV[3])
local due = {}
for _, id in ipairs(redis.call('ZRANGE', base .. ':files', 0, limit - 1)) do
  table.insert(due, id)
  table.insert(due, record(id))
end
return due
