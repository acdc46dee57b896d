-- include: notices
-- A notice that was given up, and what to do with it. ARGV: 3 leaf, 4 place in its log, 5 '1' to tell it again, with the note 6. Returns its tenant and
-- note, or nothing if there is none.
local id, seq, revive, note = ARGV[3], ARGV[4], ARGV[5] == '1', ARGV[6]
local session = redis.call('HGET', key('leaf', id), 'session')
if not session then return {} end
local tenant, name = tenantOf(session), noticeName(id, tonumber(seq))
if not redis.call('ZSCORE', key('dead', tenant), name) then return {} end
if revive then
  redis.call('ZREM', key('dead', tenant), name)
  redis.call('HSET', key('notice', id), seq, note)
  planNotice(tenant, id, tonumber(seq), ms)
end
return { tenant, redis.call('HGET', key('notice', id), seq) or '' }
