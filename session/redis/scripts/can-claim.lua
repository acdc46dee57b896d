-- include: queue
-- Whether something can be claimed. KEYS: the index. Returns '1' if it can, otherwise the ms until it can be by time alone or an empty text; and
-- the partitions in which a time is over, which must be looked at first.
local late = redis.call('ZRANGEBYSCORE', dues, '-inf', ms)
if TOGETHER then
  for i = 1, math.min(#late, 5) do
    enter(late[i])
    promote()
    close()
  end
  late = {}
end
if late[1] or redis.call('EXISTS', fair) == 1 then return { '1', late } end
local _, nextDue = unpack(redis.call('ZRANGE', dues, 0, 0, 'WITHSCORES'))
return { '0', late, nextDue and int(math.max(0, tonumber(nextDue) - now)) or '' }
