-- Entries by their ids, from ARGV[2] on; those that are not there are left out.
local found = {}
for i = 2, #ARGV do
  local entry = head(ARGV[i])
  if entry then table.insert(found, shown(entry, true)) end
end
return found
