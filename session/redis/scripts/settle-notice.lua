-- include: notices
-- Say what became of a notice. ARGV: 3 tenant, 4 leaf, 5 place in its log, 6 claim, 7 note, 8 when it is due again in ms, or 'done' or 'dead'. Returns '1',
-- or '0' if the claim is not the newest one any more.
local tenant, id, seq, claim, note, due = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local name, row = noticeName(id, tonumber(seq)), key('notice', id)
if redis.call('HGET', row, 'claim:' .. seq) ~= claim then return '0' end
redis.call('HDEL', row, 'claim:' .. seq)
if due == 'done' then
  redis.call('HDEL', row, seq)
  redis.call('ZREM', key('notices', tenant), name)
  planNotices(tenant)
  return '1'
end
redis.call('HSET', row, seq, note)
if due == 'dead' then
  redis.call('ZREM', key('notices', tenant), name)
  redis.call('ZADD', key('dead', tenant), 0, name)
  planNotices(tenant)
else
  planNotice(tenant, id, tonumber(seq), due)
end
return '1'
