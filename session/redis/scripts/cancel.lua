-- include: notices
-- Ask for a leaf's end. ARGV: 3 leaf id, 4 event that says so. Returns what the index must be told, and the record, or nothing if there is no leaf.
local id, requested = ARGV[3], ARGV[4]
local leaf = known(id)
if not leaf then return { {} } end
if isOver(leaf.state) or leaf.cancel then return { {}, record(leaf.id) } end
leaf.seq = leaf.seq + 1
event(leaf.id, leaf.seq, requested)
redis.call('HSET', leaf.key, 'cancel', '1', 'seq', int(leaf.seq))
if leaf.state == QUEUED then
  -- Nobody ran it since it was queued, so there is nothing that a worker would have to end.
  local seq = leaf.seq + 1
  event(leaf.id, seq, stateChanged('8', 0, ''))
  redis.call('HSET', leaf.key, 'state', '8', 'updated', ms, 'seq', int(seq))
  over(leaf, '8')
  if redis.call('ZREM', key('queue', leaf.session), leaf.id) == 0 then
    displace(leaf)
    follow(leaf.session)
  end
  announce(leaf.id, seq)
  notice(leaf, seq)
elseif leaf.waiting or leaf.state == RETRYING then
  endWait(leaf, 'cancel requested')
else
  announce(leaf.id, leaf.seq)
  wish(leaf.id)
end
return { close(), record(leaf.id) }
