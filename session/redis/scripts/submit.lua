-- include: lib
-- Write a leaf, its first event and its place in the queue. ARGV: 3 leaf id, 4 session key, 5 '1' if the session must exist, 'new' if it must not, 6 the
-- latest time in ms or empty, 7 call, 8 spec, 9 first event, 10 number of partitions, 11 priority, 12 idempotency key's name or empty, 13 the
-- fingerprint if the key is to be taken here as well, 14 ms that it may take or 0, 15 '1' if it has files, 16 '1' if somebody is to be
-- told of it, 17 the account that it is counted for besides its tenant, or empty, 18 to 21 the tenant's limits on unfinished leaves, bytes, tokens and
-- cost, or 0, 22 to 25 the account's, from 26 on names of the indexes: of all leaves, of its tenant's, of its session's, then of its labels.
-- Returns what the index must be told, '1' if this call wrote it, and the record, or, if this call wrote it, only its time in ms. An empty
-- list if the key is taken.
local id, session, wanted, latestMs, call, spec, queued = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local partitions, priority, keyName, fingerprint, allowedMs = tonumber(ARGV[10]), ARGV[11], ARGV[12], ARGV[13], ARGV[14]
local hasFiles, notifies, account = ARGV[15] == '1', ARGV[16] == '1', ARGV[17] ~= '' and ARGV[17] or nil
local TENANT_LIMITS_AT, LIMITS, INDEXES_AT, LABELS_AT = 18, 4, 26, 29
local leaf = key('leaf', id)
local known = redis.call('HGET', leaf, 'calls')
if known then return { {}, string.find(known, call, 1, true) and '1' or '0', record(id) } end
local reservation = channels .. ':idempotency:' .. keyName
if fingerprint ~= '' and redis.call('EXISTS', reservation) == 1 then return {} end
if latestMs ~= '' then
  if redis.call('EXISTS', key('refused', id)) == 1 then return { err = 'REFUSED' } end
  if redis.call('EXISTS', key('tomb', id)) == 1 then return { err = 'EXPIRED' } end
  if now > tonumber(latestMs) then return { err = 'TOO_LATE' } end
end
local accounts = accountsOf(session, account)
local more = { 1, #spec, 1, 1 }
for at, name in ipairs(accounts) do
  local first, others = TENANT_LIMITS_AT + (at - 1) * LIMITS, nil
  for i = 1, LIMITS do
    local limit = tonumber(ARGV[first + i - 1])
    if limit > 0 then
      others = others or inUseOf(name, partitions)
      if others[i] + more[i] > limit then return { err = 'LIMIT ' .. at .. ' ' .. i } end
    end
  end
end
local sessionRow = key('session', session)
local epoch, head = unpack(redis.call('HMGET', sessionRow, 'epoch', 'head'))
if not epoch then
  if wanted == '1' then
    -- Its idempotency key is given back, so nobody who came with the same key may write it any more: no one has longer than `latestMs`.
    if latestMs ~= '' then redis.call('SET', key('refused', id), 1, 'EX', 120) end
    return { err = 'SESSION_NOT_FOUND' }
  end
  redis.call('HSET', sessionRow, 'epoch', '0', 'created', ms, 'head', id)
elseif wanted == 'new' then
  if latestMs ~= '' then redis.call('SET', key('refused', id), 1, 'EX', 120) end
  return { err = 'SESSION_EXISTS' }
elseif not head then
  redis.call('HSET', sessionRow, 'head', id)
  redis.call('ZREM', base .. ':leafless', session)
end
if fingerprint ~= '' then redis.call('HSET', reservation, 'leaf', id, 'session', string.match(session, '/(.*)$'), 'fingerprint', fingerprint, 'at', ms) end

-- Orders are microseconds, made unique over all partitions by their remainder and within one by going up.
rowOf(tenantOf(session))
local order = math.floor(us / partitions) * partitions + tonumber(partition)
if order <= numbers().order then order = numbers().order + partitions end
numbers().order = order
local place = int(order)

local fields = { 'spec', spec, 'session', session, 'order', place, 'state', QUEUED, 'created', ms, 'updated', ms, 'seq', '1', 'calls', call, 'bytes', int(#spec) }
if priority ~= '0' then table.insert(fields, 'priority') table.insert(fields, priority) end
if keyName ~= '' then table.insert(fields, 'key') table.insert(fields, keyName) end
if hasFiles then table.insert(fields, 'files') table.insert(fields, '1') end
if notifies then table.insert(fields, 'notify') table.insert(fields, '1') end
if ARGV[LABELS_AT] then table.insert(fields, 'labels') table.insert(fields, table.concat(ARGV, '\n', LABELS_AT)) end
if account then table.insert(fields, 'account') table.insert(fields, account) end
if allowedMs ~= '0' then
  local deadline = int(now + tonumber(allowedMs))
  table.insert(fields, 'deadline')
  table.insert(fields, deadline)
  redis.call('ZADD', base .. ':deadlines', deadline, id)
end
redis.call('HSET', leaf, unpack(fields))
event(id, 1, queued)
for _, name in ipairs(accounts) do
  if redis.call('HINCRBY', name, 'unfinished', 1) == 1 then redis.call('PERSIST', name) end
  redis.call('HINCRBY', name, 'bytes', #spec)
end
redis.call('ZADD', base .. ':unfinished', place, id)
for i = INDEXES_AT, #ARGV do redis.call('ZADD', base .. ':' .. ARGV[i], place, id) end
if head then
  redis.call('ZADD', key('queue', session), place, id)
else
  enqueue({ id = id, session = session, order = place, priority = priority })
end
return { close(), '1', ms }
