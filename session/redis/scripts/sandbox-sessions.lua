-- include: sandboxes
-- Sessions in a sandbox. ARGV: 3 name, 4 how many at most, 5 '1' for those that have a lease, '0' for those that have none.
local name, limit, holding = ARGV[3], ARGV[4], ARGV[5] == '1'
local from, to = holding and '(' .. ms or '-inf', holding and '+inf' or ms
local found = {}
for _, session in ipairs(redis.call('ZRANGEBYSCORE', key('in', name), from, to, 'LIMIT', 0, limit)) do
  local _, _, epoch, files, _, snapshot = placed(session)
  table.insert(found, session_shown(session, epoch, files, snapshot))
end
return found
