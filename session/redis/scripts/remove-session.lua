-- Forget a session that has no leaf. Its epochs stay below those of all that are made from now on. ARGV: 3 session, 4 its epoch. Returns '1' where it did.
local session = key('session', ARGV[3])
if not redis.call('ZSCORE', base .. ':leafless', ARGV[3]) or redis.call('HGET', session, 'epoch') ~= ARGV[4] then return '0' end
local meta = base .. ':meta'
if tonumber(ARGV[4]) > tonumber(redis.call('HGET', meta, 'floor') or 0) then redis.call('HSET', meta, 'floor', ARGV[4]) end
redis.call('DEL', session)
redis.call('ZREM', base .. ':leafless', ARGV[3])
return '1'
