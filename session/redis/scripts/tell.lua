-- Tell the index what a partition's script returned for it, on a cluster. KEYS: the index. ARGV: 3 partition, 4 version, 5 time in ms of its next
-- leaf, empty for none, '-' where it did not change, 6 '1' or, for the
-- first page, '2' where the whole partition is being compared and overwrites whatever is known, 7 the claim that is under way no more,
-- 8 its tenant, 9 '1' where it found nothing, from 10 on tenant, best leaf and running leaves of each.
-- News that were overtaken on their way are dropped.
local number, version = ARGV[3], tonumber(ARGV[4])
local versions = ix .. ':versions'
local known = redis.call('HMGET', versions, number, 'all' .. number)
if ARGV[8] ~= '' then
  redis.call('ZREM', ix .. ':holds:' .. ARGV[8], ARGV[7])
  if ARGV[9] == '1' then
    -- It was charged for nothing.
    local row = redis.call('HGET', ix .. ':tenant:' .. ARGV[8], 'weight')
    local charged = redis.call('ZMSCORE', passes, '', ARGV[8])
    local pass = math.max(tonumber(charged[1] or 0), tonumber(charged[2] or 0) - math.floor(1000000 / tonumber(row or 1)))
    redis.call('ZADD', passes, int(pass), ARGV[8])
    redis.call('ZADD', fair, 'XX', int(pass), ARGV[8])
  end
end
-- What was said before the last comparison may be of a tenant that both sides have forgotten since.
local forced = ARGV[6] ~= ''
if version and (forced or version > tonumber(known[2] or 0)) then
  for i = 10, #ARGV, 3 do tell(number, ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), version, forced) end
  if ARGV[5] ~= '-' and (forced or version > tonumber(known[1] or 0)) then
    redis.call('HSET', versions, number, ARGV[4])
    tellDue(number, ARGV[5])
  end
  if ARGV[6] == '2' then redis.call('HSET', versions, 'all' .. number, ARGV[4]) end
end
return 'OK'
