-- include: names
-- What the scripts of schedules share. All schedules are in one slot, which `base` begins. A schedule's name is its tenant and
-- its id with a space between, so that names are in the order of tenants and ids.
--   all   zset  names   due   zset  names of those that something is to be done for, by the time in ms
--   at:NAME  hash  record: a message · version · call: the one that wrote it
local all, upcoming = base .. ':all', base .. ':due'

local function shown(name) return redis.call('HGET', key('at', name), 'record') end

-- Write a record, and when it is due, in ms; '0' is never.
local function write(name, call, record, version, due)
  redis.call('HSET', key('at', name), 'record', record, 'version', version, 'call', call)
  if due == '0' then
    redis.call('ZREM', upcoming, name)
  else
    redis.call('ZADD', upcoming, due, name)
  end
end

