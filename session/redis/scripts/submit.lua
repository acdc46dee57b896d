-- Write a leaf, its first event and its place in the queue. ARGV: 3 leaf id, 4 session key, 5 '1' where the session must exist, 'new' where it must not, 6 the
-- latest time in ms or empty, 7 call, 8 spec, 9 first event, 10 number of partitions, 11 priority, 12 idempotency key's name or empty, 13 the
-- fingerprint where the key is to be taken here as well, 14 ms that it may take or 0, 15 '1' where it has files, 16 '1' where somebody is to be
-- told of it, from 17 on names of the indexes: of all leaves, of its tenant's, of its session's, then of its labels.
-- Returns what the index must be told, '1' where this call wrote it, and the record, or, where this call wrote it, only its time in ms. An empty
-- list where the key is taken.
local id, session, call = ARGV[3], ARGV[4], ARGV[7]
local leaf = key('leaf', id)
local known = redis.call('HGET', leaf, 'calls')
if known then return { {}, string.find(known, call, 1, true) and '1' or '0', record(id) } end
local reservation = channels .. ':idempotency:' .. ARGV[12]
if ARGV[13] ~= '' and redis.call('EXISTS', reservation) == 1 then return {} end
if ARGV[6] ~= '' then
  if redis.call('EXISTS', key('refused', id)) == 1 then return { err = 'REFUSED' } end
  if redis.call('EXISTS', key('tomb', id)) == 1 then return { err = 'EXPIRED' } end
  if now > tonumber(ARGV[6]) then return { err = 'TOO_LATE' } end
end
local sessionRow = key('session', session)
local row = redis.call('HMGET', sessionRow, 'epoch', 'head')
if not row[1] then
  if ARGV[5] == '1' then
    -- Its idempotency key is given back, so nobody who came with the same key may write it any more: no one has longer than ARGV[6].
    if ARGV[6] ~= '' then redis.call('SET', key('refused', id), 1, 'EX', 120) end
    return { err = 'SESSION_NOT_FOUND' }
  end
  redis.call('HSET', sessionRow, 'epoch', '0', 'created', ms, 'head', id)
elseif ARGV[5] == 'new' then
  if ARGV[6] ~= '' then redis.call('SET', key('refused', id), 1, 'EX', 120) end
  return { err = 'SESSION_EXISTS' }
elseif not row[2] then
  redis.call('HSET', sessionRow, 'head', id)
  redis.call('ZREM', base .. ':leafless', session)
end
if ARGV[13] ~= '' then redis.call('HSET', reservation, 'leaf', id, 'session', string.match(session, '/(.*)$'), 'fingerprint', ARGV[13], 'at', ms) end

-- Orders are microseconds, made unique over all partitions by their remainder and within one by going up.
rowOf(tenantOf(session))
local partitions = tonumber(ARGV[10])
local order = math.floor(us / partitions) * partitions + tonumber(partition)
if order <= numbers().order then order = numbers().order + partitions end
numbers().order = order

local fields = { 'spec', ARGV[8], 'session', session, 'order', int(order), 'state', QUEUED, 'created', ms, 'updated', ms, 'seq', '1', 'calls', call }
if ARGV[11] ~= '0' then table.insert(fields, 'priority') table.insert(fields, ARGV[11]) end
if ARGV[12] ~= '' then table.insert(fields, 'key') table.insert(fields, ARGV[12]) end
if ARGV[15] == '1' then table.insert(fields, 'files') table.insert(fields, '1') end
if ARGV[16] == '1' then table.insert(fields, 'notify') table.insert(fields, '1') end
if #ARGV > 19 then table.insert(fields, 'labels') table.insert(fields, table.concat(ARGV, '\n', 20)) end
if ARGV[14] ~= '0' then
  local deadline = int(now + tonumber(ARGV[14]))
  table.insert(fields, 'deadline')
  table.insert(fields, deadline)
  redis.call('ZADD', base .. ':deadlines', deadline, id)
end
redis.call('HSET', leaf, unpack(fields))
event(id, 1, ARGV[9])
redis.call('ZADD', base .. ':unfinished', int(order), id)
for i = 17, #ARGV do redis.call('ZADD', base .. ':' .. ARGV[i], int(order), id) end
if row[2] then
  redis.call('ZADD', key('queue', session), int(order), id)
else
  enqueue({ id = id, session = session, order = order, priority = ARGV[11] })
end
return { close(), '1', ms }
