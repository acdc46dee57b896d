-- include: names
-- Forget a session that has no leaf. Its epochs stay below those of all that are made from now on. ARGV: 3 session, 4 its epoch. Returns '1' if it did.
local name, epoch = ARGV[3], ARGV[4]
local session, meta = key('session', name), base .. ':meta'
if not redis.call('ZSCORE', base .. ':leafless', name) or redis.call('HGET', session, 'epoch') ~= epoch then return '0' end
if tonumber(epoch) > tonumber(redis.call('HGET', meta, 'floor') or 0) then redis.call('HSET', meta, 'floor', epoch) end
redis.call('DEL', session)
redis.call('ZREM', base .. ':leafless', name)
return '1'
