-- include: sandboxes
-- Let a sandbox drain, or no more. ARGV: 3 name, 4 '1' or '0'. Returns it, or nothing if there is none.
local name, draining = ARGV[3], ARGV[4] == '1'
if redis.call('EXISTS', key('at', name)) == 0 then return {} end
if draining then
  redis.call('HSET', key('at', name), 'draining', '1')
else
  redis.call('HDEL', key('at', name), 'draining')
end
return shown(name)
