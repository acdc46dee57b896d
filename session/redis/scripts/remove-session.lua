-- Forget a session that has no leaf. Its epochs stay below those of all that are made from now on. ARGV: 3 session. Returns '1' where it did.
local session = key('session', ARGV[3])
local epoch = redis.call('HGET', session, 'epoch')
if not epoch or redis.call('EXISTS', key('of', ARGV[3])) == 1 then return '0' end
local meta = base .. ':meta'
if tonumber(epoch) > tonumber(redis.call('HGET', meta, 'floor') or 0) then redis.call('HSET', meta, 'floor', epoch) end
redis.call('DEL', session)
return '1'
