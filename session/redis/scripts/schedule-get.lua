-- include: schedules
-- Schedules. ARGV: from 3 on their names.
local found = {}
for _, name in ipairs({ unpack(ARGV, 3) }) do table.insert(found, shown(name)) end
return found
