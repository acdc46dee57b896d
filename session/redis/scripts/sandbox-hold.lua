-- include: sandboxes
-- Let a session's lease end at another time. ARGV: 3 session, 4 its epoch, 5 in how many ms, 0 for now. Returns 'lost' if a newer owner placed it, or
-- nobody did, 'away' if its sandbox is not there any more, otherwise 'held'.
local session, epoch, lease = unpack(ARGV, 3, 5)
local name, state, since = placed(session)
if not name or name == '' or tonumber(since) > tonumber(epoch) then return 'lost' end
enter(name, session, lease == '0' and '0' or int(now + tonumber(lease)))
return there(name, state) and 'held' or 'away'
