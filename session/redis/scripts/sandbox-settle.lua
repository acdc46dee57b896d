-- include: sandboxes
-- A session has its files where it is. ARGV: 3 session, 4 its epoch. Returns '0' if a newer owner placed it, or nobody did.
local session, epoch = unpack(ARGV, 3, 4)
local name, state, since = placed(session)
if not name or name == '' or tonumber(since) > tonumber(epoch) then return '0' end
put(session, name, state, since, '', '', '', '')
return '1'
