-- include: lib
-- Queue a failed leaf again. ARGV: 3 leaf id, 4 '1' from the start. Returns what the index must be told, and the record, or a word.
local id, fromStart = ARGV[3], ARGV[4] == '1'
local leaf = known(id)
if not leaf then return { {}, 'NO_LEAF' } end
if leaf.state ~= '7' then return { {}, isOver(leaf.state) and 'NOT_FAILED' or record(leaf.id) } end
local seq = leaf.seq + 1
event(leaf.id, seq, stateChanged(QUEUED, 0, fromStart and 'redriven from the start' or 'redriven'))
redis.call('HINCRBY', leaf.key, 'redrives', 1)
if fromStart then redis.call('HINCRBY', leaf.key, 'restarts', 1) end
redis.call('HSET', leaf.key, 'state', QUEUED, 'updated', ms, 'seq', int(seq))
redis.call('HDEL', leaf.key, 'failure', 'attempts', 'failed', 'cancel', 'not_before', 'open')
redis.call('ZREM', base .. ':ended', leaf.id)
redis.call('ZADD', base .. ':unfinished', leaf.order, leaf.id)
countUnfinished(leaf, 1)
if leaf.deadline < math.huge then redis.call('ZADD', base .. ':deadlines', int(leaf.deadline), leaf.id) end
move(leaf.id, leaf.order, '7', QUEUED)
local session = key('session', leaf.session)
local head = redis.call('HGET', session, 'head')
local first = head and known(head)
if first and (first.state == RUNNING or tonumber(first.order) < tonumber(leaf.order)) then
  redis.call('ZADD', key('queue', leaf.session), leaf.order, leaf.id)
else
  if first then
    displace(first)
    redis.call('ZADD', key('queue', leaf.session), first.order, first.id)
  end
  redis.call('HSET', session, 'head', leaf.id)
  ready(leaf)
end
announce(leaf.id, seq)
return { close(), record(leaf.id) }
