-- include: names
-- The index: which tenants have a ready leaf, and in which partition the best of it is. All of it is in one slot of its own; it is derived from
-- the partitions, which alone decide.
--   ready     zset  tenants that may be claimed for, by max(pass, clock): the first one is next, ties go by name
--   passes    zset  tenants whose pass is ahead of the clock, and the clock itself under the empty name
--   due       zset  partitions by the time in ms at which their next leaf is ready by time alone
--   best:T    zset  the best ready leaf of each partition: score is less its priority, member order and partition
--   tenant:T  hash  weight, max: settings · running: in all · on: '1' if it is in `ready` · b3, r3: best and running of partition 3 ·
--                   v3: version of that news (cluster only)
--   capped    set   tenants with a cap
--   holds:T   zset  claims under way on a cluster, by the time in ms until which they count as running
local ix = '{' .. channels .. ':index}'
local fair, passes, dues = ix .. ':ready', ix .. ':passes', ix .. ':due'

-- A claim under way on a cluster counts as running for that long, unless its partition tells before.
local HOLD_MS = 5000

-- Claims of the tenant that are under way. On one node there are none: a claim is one step.
local function holds(tenant)
  return TOGETHER and 0 or redis.call('ZCOUNT', ix .. ':holds:' .. tenant, '(' .. ms, '+inf')
end

local function capped(tenant, max, running)
  max = tonumber(max or 0)
  return max > 0 and running + holds(tenant) >= max
end

-- The tenant may be claimed for from now on. It has saved up nothing: who was idle starts at the clock.
local function join(tenant)
  local clock, pass = unpack(redis.call('ZMSCORE', passes, '', tenant))
  local value = math.max(tonumber(clock or 0), tonumber(pass or 0))
  redis.call('ZADD', fair, int(value), tenant)
  redis.call('PUBLISH', channels .. ':work', '')
end

-- What is known of a tenant and of what it has in a partition: best and running there, running in all, cap, '1' if it is in `ready`, weight,
-- version. A claim reads it before it picks, and needs it again at its end.
local seen
local function readRow(tenant, partition)
  local row = seen or redis.call('HMGET', ix .. ':tenant:' .. tenant, 'b' .. partition, 'r' .. partition, 'running', 'max', 'on', 'weight', 'v' .. partition)
  return row, unpack(row)
end

-- A tenant's best leaf in a partition, `score:order` or empty, and how many of its leaves run there. `version` on a cluster only, where news
-- may overtake each other; `forced` overwrites whatever was known.
local function tell(partition, tenant, best, running, version, forced)
  local row, bests = ix .. ':tenant:' .. tenant, ix .. ':best:' .. tenant
  local _, oldBest, runningHere, runningInAll, max, isOn, weight, oldVersion = readRow(tenant, partition)
  seen = nil
  if version and not forced and tonumber(oldVersion or 0) >= version then return end
  local changed, some, wasOn = (oldBest or '') ~= best, best ~= '', isOn == '1'
  if changed then
    if oldBest and oldBest ~= '' then redis.call('ZREM', bests, string.match(oldBest, ':(.*)$') .. ':' .. partition) end
    if some then
      local score, order = string.match(best, '^(.*):(.*)$')
      redis.call('ZADD', bests, score, order .. ':' .. partition)
    end
  end
  local total = tonumber(runningInAll or 0) + running - tonumber(runningHere or 0)
  if not some and (changed or tonumber(max or 0) > 0) then
    some = redis.call('EXISTS', bests) == 1
  elseif not some then
    -- A tenant without a cap is in `ready` whenever it has a best leaf anywhere.
    some = wasOn
  end
  local on = some and not capped(tenant, max, total)
  if some or total > 0 then
    local fields = { 'r' .. partition, running, 'running', int(total) }
    if changed then table.insert(fields, 'b' .. partition) table.insert(fields, best) end
    if on ~= wasOn then table.insert(fields, 'on') table.insert(fields, on and '1' or '0') end
    if version then table.insert(fields, 'v' .. partition) table.insert(fields, version) end
    redis.call('HSET', row, unpack(fields))
  elseif max or weight then
    -- What is left are its settings: fields of other partitions say that nothing is there.
    redis.call('DEL', row)
    redis.call('HSET', row, 'weight', weight or '1', 'max', max or '0')
  else
    redis.call('DEL', row)
  end
  if not some and total == 0 then redis.call('PUBLISH', channels .. ':idle', '') end
  if on and not wasOn then
    join(tenant)
  elseif not on and wasOn then
    redis.call('ZREM', fair, tenant)
  end
end

-- When the next leaf of a partition is ready by time alone, in ms, or empty. Who waits has to look at the time again if it is sooner than any.
local function tellDue(partition, due)
  if due == '' then
    redis.call('ZREM', dues, partition)
    return
  end
  local first = redis.call('ZRANGE', dues, 0, 0, 'WITHSCORES')
  redis.call('ZADD', dues, due, partition)
  if not first[2] or tonumber(due) < tonumber(first[2]) then redis.call('PUBLISH', channels .. ':work', '') end
end

-- Choose whose leaf is next, and charge its tenant. Returns tenant and partition, or nothing. `call` names the claim on a cluster.
local function pick(call)
  local first = redis.call('ZRANGE', fair, 0, 0, 'WITHSCORES')
  if not first[1] then return nil end
  local tenant, value = first[1], tonumber(first[2])
  local row = ix .. ':tenant:' .. tenant
  local best = redis.call('ZRANGE', ix .. ':best:' .. tenant, 0, 0)[1]
  if not best then
    redis.call('ZREM', fair, tenant)
    redis.call('HSET', row, 'on', '0')
    return pick(call)
  end
  local partition = string.match(best, ':(%d+)$')
  local tenantRow, _, _, runningInAll, max, _, weight = readRow(tenant, partition)
  if TOGETHER then seen = tenantRow end
  local pass = int(value + math.floor(1000000 / tonumber(weight or 1)))
  redis.call('ZADD', passes, int(value), '', pass, tenant)
  redis.call('ZADD', fair, pass, tenant)
  -- A pass that the clock has overtaken says no more than the clock does. Some go with every sixteenth claim or so, more than came with the others.
  if us % 16 < 1 then
    local behind = redis.call('ZRANGEBYSCORE', passes, '-inf', '(' .. int(value), 'LIMIT', 0, 100)
    if behind[1] then redis.call('ZREM', passes, unpack(behind)) end
  end
  if not TOGETHER then
    local held = ix .. ':holds:' .. tenant
    redis.call('ZREMRANGEBYSCORE', held, '-inf', ms)
    redis.call('ZADD', held, int(tonumber(ms) + HOLD_MS), call)
    redis.call('PEXPIRE', held, HOLD_MS * 2)
    if capped(tenant, max, tonumber(runningInAll or 0)) then
      redis.call('ZREM', fair, tenant)
      redis.call('HSET', row, 'on', '0')
    end
  end
  return tenant, partition
end

