-- include: sandboxes
-- Let a session's lease end at another time. ARGV: 3 session, 4 its epoch, 5 in how many ms, 0 for now. Returns '0' if a newer owner placed it, or
-- nobody did.
local session, epoch, lease = unpack(ARGV, 3, 5)
local name, _, since = placed(session)
if not name or tonumber(since) > tonumber(epoch) then return '0' end
redis.call('ZADD', key('in', name), lease == '0' and '0' or int(now + tonumber(lease)), session)
return '1'
