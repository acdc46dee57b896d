-- include: take
-- Claim the leaf that is next, if all partitions are on one node. Returns the claim, or nothing.
local before = claimedBefore()
if before then return before end
-- What became ready by time alone joins those that wait: first the partition that is due for longest, five of them at the most.
for _, number in ipairs(redis.call('ZRANGEBYSCORE', dues, '-inf', ms, 'LIMIT', 0, 5)) do
  enter(number)
  promote()
  close()
end
while true do
  local tenant, number = pick()
  if not tenant then return {} end
  enter(number)
  local claim = take(tenant)
  close(not claim)
  if claim then return claim end
end
