-- include: queue, proto
-- What the scripts of leaves share.

-- What a client needs to show a leaf, in this order.
local FIELDS = { 'state', 'created', 'updated', 'not_before', 'claims', 'failed', 'epoch', 'seq', 'cancel', 'held', 'usage', 'failure',
  'result', 'attempts', 'redrives', 'restarts', 'spec', 'unread', 'open' }

local function isOver(state) return tonumber(state) >= 6 end

-- A gate's fields in its leaf's hash of gates.
local function gateField(kind, name) return kind .. ':' .. name end

-- The events of the messages to a leaf that were not delivered, whose places in the log `places` names.
local function unread(id, places)
  local events = {}
  for seq in string.gmatch(places, '%d+') do table.insert(events, logged(id, seq)) end
  return events
end

-- A leaf's record, of the values of FIELDS: in the place of the names of its open gates stand the gates, in that of messages' places their events.
local function shown(id, row)
  if row[#FIELDS - 1] then row[#FIELDS - 1] = unread(id, row[#FIELDS - 1]) end
  if row[#FIELDS] and isOver(row[1]) then
    row[#FIELDS] = false
  elseif row[#FIELDS] then
    local names = {}
    for name in string.gmatch(row[#FIELDS], '[^\n]+') do table.insert(names, gateField('gate', name)) end
    row[#FIELDS] = redis.call('HMGET', key('gates', id), unpack(names))
  end
  return row
end

local function record(id) return shown(id, redis.call('HMGET', key('leaf', id), unpack(FIELDS))) end

-- States that few leaves are in have a listing each. Queued and running leaves are looked for among the unfinished ones, done ones among all.
local LISTED = { [SUSPENDED] = true, [AWAITING_APPROVAL] = true, [RETRYING] = true, ['7'] = true, ['8'] = true }

local function move(id, order, from, to)
  if from == to then return end
  if LISTED[from] then redis.call('ZREM', key('state', from), id) end
  if LISTED[to] then redis.call('ZADD', key('state', to), order, id) end
end

-- Which leaves a worker holds: claims by their calls, with partition, takeover and leaf. On one node they are in one place, since a claim that
-- is sent again does not know its partition yet.
local function heldBy(worker) return TOGETHER and ix .. ':worker:' .. worker or key('worker', worker) end

-- A leaf's field `held`: the call that claimed it, 16 characters, the length of its worker's name, a colon, that name, and the worker; empty while
-- nobody holds it.
local function holding(call, name, worker) return call .. #name .. ':' .. name .. worker end

-- The call and the worker's name of that.
local function holder(held)
  local length, at = string.match(held or '', '^(%d+):()', 17)
  if length then return string.sub(held, 1, 16), string.sub(held, at, at + length - 1) end
end

-- When a leaf has to be over, in ms: its field `deadline`, which few have.
local function deadlineOf(field) return tonumber(field or math.huge) end

-- Accounts: what a tenant, and each account in it, has and used in this partition. In `account:T` and `account:T/A`, a hash each: unfinished leaves,
-- their bytes, and the tokens and cost of a day, by its number since 1970.
local function accountsOf(session, account)
  local tenant = tenantOf(session)
  return { key('account', tenant), account and key('account', tenant .. '/' .. account) or nil }
end

local function today() return int(math.floor(now / 86400000)) end

-- What an account has and used today: unfinished, bytes, tokens, cost.
local function inUse(name)
  local unfinished, size, tokens, cost, day = unpack(redis.call('HMGET', name, 'unfinished', 'bytes', 'tokens', 'cost', 'day'))
  local isToday = day == today()
  return { tonumber(unfinished or 0), tonumber(size or 0), isToday and tonumber(tokens) or 0, isToday and tonumber(cost) or 0 }
end

-- The same in all partitions that this script reaches, of so many.
local function inUseOf(name, partitions)
  if not TOGETHER then return inUse(name) end
  local sum = { 0, 0, 0, 0 }
  for other = 0, partitions - 1 do
    local there = inUse('{' .. channels .. ':' .. other .. '}' .. string.sub(name, #base + 1))
    for i = 1, 4 do sum[i] = sum[i] + there[i] end
  end
  return sum
end

-- What stands for the bytes of a leaf that was submitted before leaves were counted: it is not.
local UNCOUNTED = '-'

local function isCounted(size) return size and size ~= UNCOUNTED end

-- A leaf that `owned` or `known` returned is over, or is not any more.
local function countUnfinished(leaf, change)
  if not isCounted(leaf.bytes) then return end
  for _, name in ipairs(accountsOf(leaf.session, leaf.account)) do redis.call('HINCRBY', name, 'unfinished', change) end
end

-- Count what was appended to a leaf that `owned` returned. Returns the bytes that the leaf takes from now on; it is to be kept with its other fields.
local function charged(leaf)
  if not isCounted(leaf.bytes) then return UNCOUNTED end
  local accounts = accountsOf(leaf.session, leaf.account)
  if used and used ~= leaf.used then
    local tokens, cost = string.match(used, '^(%d+) (%d+)$')
    local before, costBefore = string.match(leaf.used or '0 0', '^(%d+) (%d+)$')
    -- One that is queued again from the start tells less than before: all of it is new.
    if tonumber(tokens) < tonumber(before) or tonumber(cost) < tonumber(costBefore) then before, costBefore = 0, 0 end
    for _, name in ipairs(accounts) do
      local _, _, tokensToday, costToday = unpack(inUse(name))
      redis.call('HSET', name, 'day', today(), 'tokens', int(tokensToday + tokens - before), 'cost', int(costToday + cost - costBefore))
    end
    redis.call('HSET', leaf.key, 'used', used)
  end
  if appended > 0 then
    for _, name in ipairs(accounts) do redis.call('HINCRBY', name, 'bytes', int(appended)) end
  end
  return int(tonumber(leaf.bytes) + appended)
end

-- A leaf is removed. An account without any is forgotten when its day is over for sure.
local function uncount(session, account, size)
  for _, name in ipairs(accountsOf(session, account)) do
    local left = redis.call('HINCRBY', name, 'bytes', '-' .. size)
    if left <= 0 and tonumber(redis.call('HGET', name, 'unfinished') or 0) <= 0 then redis.call('EXPIRE', name, 172800) end
  end
end

-- The claimed leaf, if the claim that ARGV[3] to ARGV[6] name still holds it; otherwise nothing. They are leaf, session, epoch with a space and the
-- worker's name or nothing, call. The name tells two owners apart to whom servers whose clocks differ gave the same epoch. `repeated` is set
-- if this very call was made before and its answer was lost; `calls` is what the leaf has to remember from now on.
local function owned()
  local id, session, owner, call = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
  local epoch, worker = string.match(owner, '^(%d+) (.*)$')
  local leaf = key('leaf', id)
  local state, leafEpoch, leafSession, order, seq, held, calls, cancel, priority, failures, deadline, notify, account, size, counted, files =
    unpack(redis.call('HMGET', leaf, 'state', 'epoch', 'session', 'order', 'seq', 'held', 'calls', 'cancel', 'priority', 'attempts', 'deadline',
      'notify', 'account', 'bytes', 'used', 'files'))
  if leafSession ~= session then return nil end
  local claim, name = holder(held)
  calls = calls or ''
  local repeated = call ~= '' and string.find(calls, call, 1, true) ~= nil
  if not repeated and (redis.call('HGET', key('session', session), 'epoch') ~= epoch or state ~= RUNNING or leafEpoch ~= epoch
    or worker ~= '' and worker ~= name) then return nil end
  return { id = id, key = leaf, session = session, state = state, order = order, seq = tonumber(seq), worker = name,
    cancel = cancel, priority = priority, claim = claim, attempts = failures or '', deadline = deadlineOf(deadline), notify = notify,
    account = account or nil, bytes = size, used = counted, files = files,
    repeated = repeated, calls = string.sub(call .. calls, 1, 64) }
end

local STALE = { err = 'STALE_EPOCH' }

-- Take a leaf from its worker. Who calls this sets `held` with the other fields that change.
local function letGo(leaf)
  if redis.call('ZREM', base .. ':leases', leaf.id) == 1 then
    local row = rowOf(tenantOf(leaf.session))
    row.running = row.running - 1
  else
    -- Its lease is over, and it was ready again.
    unready(leaf)
  end
  redis.call('HDEL', heldBy(leaf.worker), leaf.claim)
end

-- What is known of a leaf that nobody holds, as far as its place in the queue depends on it.
local function known(id)
  local session, order, priority, state, notBefore, waiting, seq, wake, waits, cancel, calls, deadline, notify, account, size, files =
    unpack(redis.call('HMGET', key('leaf', id), 'session', 'order', 'priority', 'state', 'not_before', 'waiting', 'seq', 'wake', 'waits',
      'cancel', 'calls', 'deadline', 'notify', 'account', 'bytes', 'files'))
  if not state then return nil end
  return { id = id, key = key('leaf', id), session = session, order = order, priority = priority, state = state, notBefore = tonumber(notBefore or 0),
    waiting = waiting == '1', seq = tonumber(seq), wake = wake, waits = waits or '', cancel = cancel == '1', calls = calls or '',
    deadline = deadlineOf(deadline), notify = notify, account = account or nil, bytes = size, files = files }
end

-- A leaf that is its session's first gets its place: ready, at a time, or none while it waits for what no time brings.
local function settle(leaf)
  if leaf.notBefore > now then
    redis.call('ZADD', base .. ':later', int(leaf.notBefore), leaf.id)
    soon(leaf.notBefore)
  elseif leaf.notBefore > 0 or not leaf.waiting then
    ready(leaf)
  end
end

-- A leaf loses its place, since an older one of its session comes before it, or since it is over.
local function displace(leaf)
  local id = int(tonumber(leaf.order)) .. '-0'
  if leaf.state == QUEUED and redis.call('XDEL', key('work', tenantOf(leaf.session)), id) == 1 then
    gone(tenantOf(leaf.session))
  elseif not unready(leaf) then
    redis.call('ZREM', base .. ':later', leaf.id)
  end
end

-- Nothing runs on the session any more: its first unfinished leaf gets its place. `leaf`: the one that was let go of and is not over.
local function follow(session, leaf)
  local queue = key('queue', session)
  local first, order = unpack(redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES'))
  if leaf and (not first or tonumber(leaf.order) < tonumber(order)) then return settle(leaf) end
  if leaf then redis.call('ZADD', queue, leaf.order, leaf.id) end
  if not first then
    redis.call('HDEL', key('session', session), 'head')
    return
  end
  redis.call('ZREM', queue, first)
  redis.call('HSET', key('session', session), 'head', first)
  settle(known(first))
end

-- A leaf's wait ends otherwise than by time: it is ready, unless others of its session are before it.
local function endWait(leaf, note)
  local seq = leaf.seq + 1
  event(leaf.id, seq, stateChanged(SUSPENDED, 0, note))
  redis.call('HSET', leaf.key, 'state', SUSPENDED, 'updated', ms, 'seq', int(seq))
  redis.call('HDEL', leaf.key, 'not_before', 'failure', 'waiting', 'wake', 'waits')
  move(leaf.id, leaf.order, leaf.state, SUSPENDED)
  if redis.call('HGET', key('session', leaf.session), 'head') == leaf.id then
    displace(leaf)
    ready(leaf)
  end
  announce(leaf.id, seq)
end

-- A leaf's files have to be written, if it has any.
local function filesDue(leaf)
  if leaf.files then redis.call('ZADD', base .. ':files', ms, leaf.id) end
end

-- A leaf is over: what only an unfinished one needs goes. The keys of its events stay with one that failed, which may be queued again.
local function over(leaf, to)
  local id = leaf.id
  redis.call('DEL', key('gates', id), key('wakes', id), to == '7' and key('gates', id) or key('keys', id))
  redis.call('ZADD', base .. ':ended', ms, id)
  redis.call('ZREM', base .. ':unfinished', id)
  countUnfinished(leaf, -1)
  if leaf.deadline < math.huge then redis.call('ZREM', base .. ':deadlines', id) end
  filesDue(leaf)
  move(id, leaf.order, leaf.state, to)
end

-- An attempt of the leaf's worker failed: what the leaf's attempts are then, each a Leaf message with one attempt.
local function attempts(leaf, failure)
  return leaf.attempts .. bytes(17, number(1, ms) .. bytes(2, leaf.worker or '') .. bytes(3, failure))
end

-- Write a gate's decision, a Decision message without its time. Returns the gate.
local function writeDecision(id, seq, name, gateId, decision)
  local gates, leaf = key('gates', id), key('leaf', id)
  local made = decision .. number(4, ms)
  local gate = redis.call('HGET', gates, gateField('gate', name)) .. bytes(9, made)
  redis.call('HSET', gates, gateField('gate', name), gate, gateField('decided', name), '1')
  local open = {}
  for each in string.gmatch(redis.call('HGET', leaf, 'open') or '', '[^\n]+') do
    if each ~= name then table.insert(open, each) end
  end
  if open[1] then redis.call('HSET', leaf, 'open', table.concat(open, '\n')) else redis.call('HDEL', leaf, 'open') end
  event(id, seq, bytes(14, bytes(1, gateId) .. bytes(2, made)))
  redis.call('HSET', leaf, 'seq', int(seq))
  announce(id, seq)
  return gate
end

-- What is decided if nobody did in time: kind, and who decided.
local function defaultDecision(kind) return number(1, kind) .. bytes(3, 'deadline') end

local function overdue(deadline) return tonumber(deadline) > 0 and tonumber(deadline) <= now end

