-- What the scripts of schedules share, behind clock, names. All schedules are in one slot, which `base` begins. A schedule's name is its tenant and
-- its id with a space between, so that names are in the order of tenants and ids.
--   all   zset  names   due   zset  names of those that make fires, by the time in ms of the next one
--   at:NAME  hash  schedule: as it was made, a message · what changes: paused, next, last, leaf, fires · created
local all, upcoming = base .. ':all', base .. ':due'
local FIELDS = { 'schedule', 'paused', 'next', 'created', 'last', 'leaf', 'fires' }

local function shown(name) return redis.call('HMGET', key('at', name), unpack(FIELDS)) end

-- Its next fire is at `time`, in ms. None where it is paused or no fire is left.
local function plan(name, time, paused)
  redis.call('HSET', key('at', name), 'next', time, 'paused', paused)
  if paused == '1' or time == '0' then
    redis.call('ZREM', upcoming, name)
  else
    redis.call('ZADD', upcoming, time, name)
  end
end

