-- include: sandboxes
-- The sandbox of a session, as `Sandboxes.place` says. ARGV: 3 session, 4 its epoch, 5 its tenant, 6 lease in ms, 7 session to be near, or empty, 8 '1' if it has
-- to be near that one while that is where it may be, then the name and the value of each wanted label. Returns 'stale', 'none', 'full' with the number of
-- sandboxes, or 'ok' with the sandbox, '1' if it is another than before, the snapshot that it goes on from, or empty, the sandbox that it was taken out
-- of, or empty, '1' if that is there, and where it has its files, if not here: name, '1' if that can be asked for them, and that sandbox.
local session, epoch, tenant, lease, near, bound = unpack(ARGV, 3, 8)
local LABELS_AT = 9
-- Sandboxes that are looked at in one go.
local STEP = 16
local old, old_state, old_epoch, from, from_state, snapshot, left = placed(session)
if old and tonumber(old_epoch) > tonumber(epoch) then return { 'stale' } end

-- What a sandbox is for this session; nothing if it is not there or would not do.
local function suitable(name)
  local state, owner, labels, capacity, alive, draining =
    unpack(redis.call('HMGET', key('at', name), 'state', 'tenant', 'labels', 'capacity', 'alive', 'draining'))
  if not state or tonumber(alive) <= now or (owner ~= '' and owner ~= tenant) then return nil end
  if ARGV[LABELS_AT] then
    local has = cjson.decode(labels)
    for i = LABELS_AT, #ARGV, 2 do
      local label, value = ARGV[i], ARGV[i + 1]
      if has[label] ~= value then return nil end
    end
  end
  local free = not draining and (capacity == '0' or working(name) < tonumber(capacity))
  return { name = name, state = state, draining = draining, free = free }
end

-- The least loaded one that has room. A lease that has run out counts until its sandbox is reported again, which is soon.
local function least()
  for at = 0, redis.call('ZCARD', loads) - 1, STEP do
    for _, name in ipairs(redis.call('ZRANGE', loads, at, at + STEP - 1)) do
      local each = suitable(name)
      if each and each.free then return each end
    end
  end
end

-- Why there is none: 'none' that would do is there, or 'full' with the number of those that are.
local function refusal()
  local count, waits = 0, false
  for _, name in ipairs(redis.call('SMEMBERS', all)) do
    local each = suitable(name)
    if each then
      count = count + 1
      waits = waits or not each.draining
    end
  end
  return waits and { 'full', count } or { 'none' }
end

local current = old and old ~= '' and suitable(old)
if current and current.state ~= old_state then current = nil end
local lease_end = current and tonumber(redis.call('ZSCORE', key('in', old), session) or 0)
local best = current and (lease_end > now or current.free) and current or nil
if not best then
  local name = near ~= '' and placed(near)
  local close = name and name ~= '' and suitable(name)
  if close and not close.free and not close.draining and bound == '1' then return { 'full', 1 } end
  best = close and close.free and close or least()
  if not best then return refusal() end
end

local stays = best == current
-- One that has not settled is not in the place that it leaves.
if not old then
  from, from_state, snapshot, left = '', '', '', ''
elseif not stays and from == '' and snapshot == '' then
  from, from_state = old, old_state
end
if from == best.name and from_state == best.state then from, from_state = '', '' end
if old and old ~= '' and old ~= best.name then leave(old, session) end
enter(best.name, session, int(now + tonumber(lease)))
put(session, best.name, best.state, epoch, from, from_state, snapshot, left)
local left_alive = left ~= '' and redis.call('HGET', key('at', left), 'alive')
local left_there = left_alive and tonumber(left_alive) > now
local reply = { 'ok', shown(best.name), stays and '0' or '1', snapshot, left, left_there and '1' or '0' }
if from == '' then return reply end
table.insert(reply, from)
table.insert(reply, there(from, from_state) and '1' or '0')
table.insert(reply, shown(from) or {})
return reply
