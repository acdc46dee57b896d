-- Tell the index of hints about a partition. KEYS: hints, versions. ARGV: 1 partition, 2 version, 3 hint or empty, 4 the channels' prefix,
-- 5 '1' to overwrite whatever version is there. News that were overtaken on their way are dropped.
local known = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '-1')
if ARGV[5] ~= '1' and known >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
if ARGV[3] == '' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
  redis.call('PUBLISH', ARGV[4] .. ':work', ARGV[1])
end
return 1
