-- include: sandboxes
-- Those of some sessions that are placed, and neither are in a sandbox nor have their files in it. ARGV: 3 its name, then sessions.
local at = ARGV[3]
local found = {}
for i = 4, #ARGV do
  local name, _, epoch, from, _, snapshot = placed(ARGV[i])
  if name and name ~= at and from ~= at then table.insert(found, session_shown(ARGV[i], epoch, from, snapshot)) end
end
return found
