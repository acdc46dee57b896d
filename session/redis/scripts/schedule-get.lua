-- Schedules by their names, from ARGV[3] on.
local found = {}
for i = 3, #ARGV do table.insert(found, shown(ARGV[i])) end
return found
