-- include: index
-- Tell the index what a partition's script returned for it, on a cluster. KEYS: the index. ARGV: 3 partition, 4 version, 5 time in ms of its next
-- leaf, empty for none, '-' if it did not change, 6 '1' or, for the
-- first page, '2' if the whole partition is being compared and overwrites whatever is known, 7 the claim that is under way no more,
-- 8 its tenant, 9 '1' if it found nothing, from 10 on tenant, best leaf and running leaves of each.
-- News that were overtaken on their way are dropped.
local number, version, due, compared, call, claimTenant, vain, TENANTS_AT =
  ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9] == '1', 10
local versions = ix .. ':versions'
local knownVersion, comparedVersion = unpack(redis.call('HMGET', versions, number, 'all' .. number))
if claimTenant ~= '' then
  redis.call('ZREM', ix .. ':holds:' .. claimTenant, call)
  if vain then
    -- It was charged for nothing.
    local weight = redis.call('HGET', ix .. ':tenant:' .. claimTenant, 'weight')
    local clock, charged = unpack(redis.call('ZMSCORE', passes, '', claimTenant))
    local pass = math.max(tonumber(clock or 0), tonumber(charged or 0) - math.floor(1000000 / tonumber(weight or 1)))
    redis.call('ZADD', passes, int(pass), claimTenant)
    redis.call('ZADD', fair, 'XX', int(pass), claimTenant)
  end
end
-- What was said before the last comparison may be of a tenant that both sides have forgotten since.
local forced = compared ~= ''
if version and (forced or version > tonumber(comparedVersion or 0)) then
  for i = TENANTS_AT, #ARGV, 3 do
    local tenant, best, running = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
    tell(number, tenant, best, running, version, forced)
  end
  if due ~= '-' and (forced or version > tonumber(knownVersion or 0)) then
    redis.call('HSET', versions, number, int(version))
    tellDue(number, due)
  end
  if compared == '2' then redis.call('HSET', versions, 'all' .. number, int(version)) end
end
return 'OK'
