-- include: names
-- What the scripts of the pool of sandboxes share. All of it is in one slot, which `base` begins. Names and ids hold no spaces.
--   all      set   names of sandboxes
--   at:NAME  hash  sandbox: as it was reported, a message · state: id of what it has on its disk · tenant · labels: JSON · capacity ·
--                  alive: until when it counts as there, in ms · draining: there if it is
--   in:NAME  zset  sessions by the end of their lease, in ms; 0 is none
--   load     zset  names of sandboxes: those with the fewest leases come first, of these those with the fewest sessions
--   placed   hash  session: name, state, epoch, then where it has its files until it has settled: name, state, id of a snapshot, and name of the one that it
--                  was taken out of; with spaces between. No name: it is nowhere, or has its files where it is
local all, placements, loads = base .. ':all', base .. ':placed', base .. ':load'
local now = tonumber(ms)

-- Sessions with a lease on a sandbox.
local function working(name) return redis.call('ZCOUNT', key('in', name), '(' .. ms, '+inf') end

-- Note how much is in a sandbox, for as long as that is known.
local function weigh(name)
  if redis.call('EXISTS', key('at', name)) == 0 then return end
  redis.call('ZADD', loads, int(working(name) * 1000000 + redis.call('ZCARD', key('in', name))), name)
end

-- A session is in a sandbox until its lease ends, 0 for none, or is not in it any more.
local function enter(name, session, lease_end)
  redis.call('ZADD', key('in', name), lease_end, session)
  weigh(name)
end

local function leave(name, session)
  if redis.call('ZREM', key('in', name), session) == 1 then weigh(name) end
end

-- A sandbox as `sandboxOf` reads it; nothing if there is none.
local function shown(name)
  local sandbox, alive, draining = unpack(redis.call('HMGET', key('at', name), 'sandbox', 'alive', 'draining'))
  if not sandbox then return nil end
  return { sandbox, alive, draining or '', working(name), redis.call('ZCARD', key('in', name)) }
end

-- A session's sandbox (name, state), its epoch, the sandbox that has its files (name, state), its snapshot, and the sandbox that it was taken out of.
local function placed(session)
  local place = redis.call('HGET', placements, session)
  if not place then return nil end
  return string.match(place, '^(%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*)$')
end

-- Note where a session is, as `placed` tells it.
local function put(session, ...) redis.call('HSET', placements, session, table.concat({ ... }, ' ')) end

-- A sandbox is there, with what it had on its disk in this state.
local function there(name, state)
  local current, alive = unpack(redis.call('HMGET', key('at', name), 'state', 'alive'))
  return current == state and tonumber(alive) > now
end

-- A session as `placedSession` reads it.
local function session_shown(session, epoch, from, snapshot)
  return { session, epoch, from == '' and snapshot == '' and '1' or '0' }
end
