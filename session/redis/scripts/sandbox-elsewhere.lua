-- include: sandboxes
-- Those of some sessions that are placed, and neither are in a sandbox nor have their files in it, or in one with its disk. ARGV: 3 its name, 4 its state, then
-- sessions.
local at, disk = ARGV[3], ARGV[4]
local found = {}
for i = 5, #ARGV do
  local name, state, epoch, from, from_state, snapshot = placed(ARGV[i])
  if name and name ~= at and from ~= at and state ~= disk and from_state ~= disk then
    table.insert(found, session_shown(ARGV[i], epoch, from, snapshot))
  end
end
return found
