-- Tell the index of hints about a partition. KEYS: ready, due, versions. ARGV: 1 partition, 2 version, 3 ready and 4 due, which may be empty,
-- 5 the channels' prefix, 6 '1' to overwrite whatever version is there. News that were overtaken on their way are dropped.
local known = tonumber(redis.call('HGET', KEYS[3], ARGV[1]) or '-1')
if ARGV[6] ~= '1' and known >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[3], ARGV[1], ARGV[2])
-- Who waits for work has to look again where something became ready, or will be so earlier.
local was = redis.call('ZSCORE', KEYS[2], ARGV[1])
local news = ARGV[3] ~= '' and not redis.call('ZSCORE', KEYS[1], ARGV[1]) or ARGV[4] ~= '' and (not was or tonumber(ARGV[4]) < tonumber(was))
for i = 1, 2 do
  if ARGV[i + 2] == '' then
    redis.call('ZREM', KEYS[i], ARGV[1])
  else
    redis.call('ZADD', KEYS[i], ARGV[i + 2], ARGV[1])
  end
end
if news then redis.call('PUBLISH', ARGV[5] .. ':work', ARGV[1]) end
return 1
