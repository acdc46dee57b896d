-- include: names
-- Leaves' logs, for every script that appends to one.

-- Append event number `seq` to a leaf's log, which is a list: number n is its nth element. A list takes no more room than its elements,
-- where a stream would take 4 KiB at least. Time, epoch and note stand before the event, since only the script knows them.
local function event(id, seq, bytes, epoch, note)
  local length = redis.call('RPUSH', key('events', id), ms .. ':' .. (epoch or '') .. ':' .. (note or '') .. ':' .. bytes)
  assert(length == seq, 'the log of a leaf has a gap')
end

-- Event number `seq` of a leaf's log, as `event` wrote it.
local function logged(id, seq)
  return redis.call('LRANGE', key('events', id), int(seq - 1), int(seq - 1))[1]
end

-- Somebody wants something of a leaf: who runs it looks for itself.
local function wish(id) redis.call('PUBLISH', channels .. ':wish:' .. id, '') end

local function announce(id, seq) redis.call('PUBLISH', channels .. ':leaf:' .. id, int(seq)) end

-- Bytes of the events that this script appended, and what the last of them says that the leaf used, tokens and cost: see lib.lua.
local appended, used = 0, nil

-- Append the events that begin at ARGV[at]: their number, then key, usage or empty, and bytes of each. A usage begins with tokens, cost and a
-- line feed. Returns the last sequence number.
local function append(id, seq, at)
  for i = at + 1, at + tonumber(ARGV[at]) * 3, 3 do
    local eventKey, usage, message = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    if eventKey == '' or redis.call('SADD', key('keys', id), eventKey) == 1 then
      seq = seq + 1
      event(id, seq, message)
      appended = appended + #message
      if usage ~= '' then
        local tokens, cost, from = string.match(usage, '^(%d+) (%d+)\n()')
        used = tokens .. ' ' .. cost
        redis.call('HSET', key('leaf', id), 'usage', string.sub(usage, from))
      end
    end
  end
  return seq
end

