-- include: notices
-- End leaves whose deadline has passed and that nobody holds. ARGV: 3 ms that one which was claimed before is left to who may claim it, 4 leaves at
-- the most, 5 failure and 6 last event of one that nobody began, 7 and 8 the same of any other. Returns what the index must be told, and how many.
local graceMs, limit, queuedFailure, queuedEvent, waitingFailure, waitingEvent =
  tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[6], ARGV[7], ARGV[8]
promote()
local count, at = 0, base .. ':deadlines'
for _, id in ipairs(redis.call('ZRANGEBYSCORE', at, '-inf', ms, 'LIMIT', 0, 500)) do
  local leaf = known(id)
  local queued = leaf.state == QUEUED
  local due = queued or leaf.deadline + graceMs <= now
  -- Who holds it looks at the clock.
  if due and count < limit and not redis.call('ZSCORE', base .. ':leases', id) then
    local failure, ended = queued and queuedFailure or waitingFailure, queued and queuedEvent or waitingEvent
    local held, failures = unpack(redis.call('HMGET', leaf.key, 'held', 'attempts'))
    if leaf.state == RUNNING then
      leaf.claim, leaf.worker = holder(held)
      letGo(leaf)
      -- Who held it until its lease ended may be working still: from now on it is refused.
      local session = key('session', leaf.session)
      redis.call('HSET', session, 'epoch', int(math.max(tonumber(redis.call('HGET', session, 'epoch')) + 1, now)))
      follow(leaf.session)
    elseif redis.call('ZREM', key('queue', leaf.session), id) == 0 then
      displace(leaf)
      follow(leaf.session)
    end
    leaf.attempts = failures or ''
    event(id, leaf.seq + 1, ended)
    redis.call('HSET', leaf.key, 'state', '7', 'held', '', 'updated', ms, 'seq', int(leaf.seq + 1), 'failure', failure,
      'attempts', attempts(leaf, failure))
    redis.call('HDEL', leaf.key, 'not_before', 'waiting', 'wake', 'waits')
    over(leaf, '7')
    announce(id, leaf.seq + 1)
    notice(leaf, leaf.seq + 1)
    count = count + 1
  end
end
return { close(), int(count) }
