-- Write a leaf, its first event and its place in the queue. ARGV: 3 leaf id, 4 session key, 5 '1' where the session must exist, 'new' where it must not, 6 the
-- latest time in ms or empty, 7 call, 8 spec, 9 first event, 10 number of partitions, 11 priority, 12 idempotency key's name or empty, 13 the
-- fingerprint where the key is to be taken here as well, 14 ms that it may take or 0, 15 '1' where it has files, 16 '1' where somebody is to be
-- told of it, 17 the account that it is counted for besides its tenant, or empty, 18 to 21 the tenant's limits on unfinished leaves, bytes, tokens and
-- cost, or 0, 22 to 25 the account's, from 26 on names of the indexes: of all leaves, of its tenant's, of its session's, then of its labels.
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
local account = ARGV[17] ~= '' and ARGV[17] or nil
local accounts = accountsOf(session, account)
local more = { 1, #ARGV[8], 1, 1 }
for at, name in ipairs(accounts) do
  local first, others = 14 + at * 4, nil
  for i = 1, 4 do
    local limit = tonumber(ARGV[first + i - 1])
    if limit > 0 then
      others = others or inUseOf(name, tonumber(ARGV[10]))
      if others[i] + more[i] > limit then return { err = 'LIMIT ' .. at .. ' ' .. i } end
    end
  end
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
local place = int(order)

local fields = { 'spec', ARGV[8], 'session', session, 'order', place, 'state', QUEUED, 'created', ms, 'updated', ms, 'seq', '1', 'calls', call, 'bytes', int(#ARGV[8]) }
if ARGV[11] ~= '0' then table.insert(fields, 'priority') table.insert(fields, ARGV[11]) end
if ARGV[12] ~= '' then table.insert(fields, 'key') table.insert(fields, ARGV[12]) end
if ARGV[15] == '1' then table.insert(fields, 'files') table.insert(fields, '1') end
if ARGV[16] == '1' then table.insert(fields, 'notify') table.insert(fields, '1') end
if #ARGV > 28 then table.insert(fields, 'labels') table.insert(fields, table.concat(ARGV, '\n', 29)) end
if account then table.insert(fields, 'account') table.insert(fields, account) end
if ARGV[14] ~= '0' then
  local deadline = int(now + tonumber(ARGV[14]))
  table.insert(fields, 'deadline')
  table.insert(fields, deadline)
  redis.call('ZADD', base .. ':deadlines', deadline, id)
end
redis.call('HSET', leaf, unpack(fields))
event(id, 1, ARGV[9])
for _, name in ipairs(accounts) do
  if redis.call('HINCRBY', name, 'unfinished', 1) == 1 then redis.call('PERSIST', name) end
  redis.call('HINCRBY', name, 'bytes', #ARGV[8])
end
redis.call('ZADD', base .. ':unfinished', place, id)
for i = 26, #ARGV do redis.call('ZADD', base .. ':' .. ARGV[i], place, id) end
if row[2] then
  redis.call('ZADD', key('queue', session), place, id)
else
  enqueue({ id = id, session = session, order = place, priority = ARGV[11] })
end
return { close(), '1', ms }
