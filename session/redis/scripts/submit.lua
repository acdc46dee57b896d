-- Write a leaf, its first event and its place in the queue. ARGV: 3 leaf id, 4 session key, 5 '1' where the session must exist, 6 the
-- latest time in ms or empty, 7 call, 8 spec, 9 first event, 10 partition number, 11 number of partitions, 12 labels and more index names.
-- Returns '1' where this call wrote it, the record, what the index of hints must be told.
local id, session, call = ARGV[3], ARGV[4], ARGV[7]
local leaf = key('leaf', id)
if redis.call('EXISTS', leaf) == 1 then
  return { redis.call('HGET', leaf, 'call') == call and '1' or '0', redis.call('HGETALL', leaf), {} }
end
if redis.call('EXISTS', key('refused', id)) == 1 then return { err = 'REFUSED' } end
if ARGV[6] ~= '' and tonumber(ms) > tonumber(ARGV[6]) then return { err = 'TOO_LATE' } end
local sessionRow = key('session', session)
if redis.call('HSETNX', sessionRow, 'epoch', '0') == 1 then
  if ARGV[5] == '1' then
    redis.call('DEL', sessionRow)
    -- Its idempotency key is given back, so nobody who came with the same key may write it any more: no one has longer than ARGV[6].
    if ARGV[6] ~= '' then redis.call('SET', key('refused', id), 1, 'EX', 120) end
    return { err = 'SESSION_NOT_FOUND' }
  end
  redis.call('HSET', sessionRow, 'created', ms)
end

-- Orders are microseconds, made unique over all partitions by their remainder and within one by going up.
local partitions = tonumber(ARGV[11])
local order = math.floor(us / partitions) * partitions + tonumber(ARGV[10])
local last = tonumber(redis.call('HGET', meta, 'order') or 0)
if order <= last then order = last + partitions end
redis.call('HSET', meta, 'order', int(order))

redis.call('HSET', leaf, 'id', id, 'spec', ARGV[8], 'session', session, 'order', int(order), 'state', QUEUED, 'created', ms, 'updated', ms,
  'seq', 1, 'call', call)
event(id, 1, ARGV[9])
redis.call('ZADD', key('state', QUEUED), int(order), id)
for i = 12, #ARGV do redis.call('ZADD', base .. ':' .. ARGV[i], int(order), id) end

local hint = {}
if redis.call('HSETNX', sessionRow, 'head', id) == 1 then
  if redis.call('HSETNX', meta, 'group', 1) == 1 then redis.call('XGROUP', 'CREATE', work, 'brains', '0', 'MKSTREAM') end
  redis.call('XADD', work, int(order) .. '-0', 'leaf', id)
  redis.call('HSET', leaf, 'streamed', 1)
  hint = sooner(order - READY)
else
  redis.call('RPUSH', key('queue', session), id)
end
return { '1', redis.call('HGETALL', leaf), hint }
