-- include: sandboxes
-- Take an idle session out of a sandbox. ARGV: 3 session, 4 its epoch, 5 name of the sandbox, 6 snapshot that it goes on from, or empty. Returns '0' if it is
-- not idle there, or has a newer owner.
local session, epoch, at, snapshot = unpack(ARGV, 3, 6)
local name, _, since, from, from_state, from_snapshot = placed(session)
if name ~= at or tonumber(since) > tonumber(epoch) then return '0' end
if tonumber(redis.call('ZSCORE', key('in', name), session) or 0) > now then return '0' end
leave(name, session)
if from == '' and from_snapshot == '' then from_snapshot = snapshot end
put(session, '', '', since, from, from_state, from_snapshot, name)
return '1'
