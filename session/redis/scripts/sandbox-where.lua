-- include: sandboxes
-- Names of the sandboxes that a session is in, or has its files in. ARGV: 3 session.
local name, _, _, from = placed(ARGV[3])
local names = {}
if name and name ~= '' then table.insert(names, name) end
if from and from ~= '' then table.insert(names, from) end
return names
