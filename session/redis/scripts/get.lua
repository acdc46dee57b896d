-- include: lib
-- A leaf's record. ARGV: 3 leaf id.
local id = ARGV[3]
return record(id)
