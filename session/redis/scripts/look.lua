-- Whether something can be claimed. KEYS: the index. Returns '1' where it can, else the ms until it can be by time alone or an empty text; and
-- the partitions in which a time is over, which must be looked at first.
local overdue = redis.call('ZRANGEBYSCORE', dues, '-inf', ms)
if TOGETHER then
  for i = 1, math.min(#overdue, 5) do
    enter(overdue[i])
    promote()
    close()
  end
  overdue = {}
end
if overdue[1] or redis.call('EXISTS', fair) == 1 then return { '1', overdue } end
local first = redis.call('ZRANGE', dues, 0, 0, 'WITHSCORES')
return { '0', overdue, first[2] and int(math.max(0, tonumber(first[2]) - now)) or '' }
