-- include: sandboxes
-- Sessions in a sandbox without a lease. ARGV: 3 name, 4 how many at most.
local name, limit = ARGV[3], ARGV[4]
local idle = {}
for _, session in ipairs(redis.call('ZRANGEBYSCORE', key('in', name), '-inf', ms, 'LIMIT', 0, limit)) do
  local _, _, epoch, from, _, snapshot = placed(session)
  table.insert(idle, session_shown(session, epoch, from, snapshot))
end
return idle
