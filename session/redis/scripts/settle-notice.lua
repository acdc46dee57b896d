-- Say what became of a notice. ARGV: 3 tenant, 4 leaf, 5 place in its log, 6 claim, 7 note, 8 when it is due again in ms, or 'done' or 'dead'. Returns '1',
-- or '0' if the claim is not the newest one any more.
local tenant, id, seq = ARGV[3], ARGV[4], ARGV[5]
local name, row = noticeName(id, tonumber(seq)), key('notice', id)
if redis.call('HGET', row, 'claim:' .. seq) ~= ARGV[6] then return '0' end
redis.call('HDEL', row, 'claim:' .. seq)
if ARGV[8] == 'done' then
  redis.call('HDEL', row, seq)
  redis.call('ZREM', key('notices', tenant), name)
  planNotices(tenant)
  return '1'
end
redis.call('HSET', row, seq, ARGV[7])
if ARGV[8] == 'dead' then
  redis.call('ZREM', key('notices', tenant), name)
  redis.call('ZADD', key('dead', tenant), 0, name)
  planNotices(tenant)
else
  planNotice(tenant, id, tonumber(seq), ARGV[8])
end
return '1'
