-- include: lib
-- End a leaf's wait for a key, or keep the wake for who will wait for it. ARGV: 3 leaf id, 4 key, 5 call, 6 keys that are kept at the most.
-- Returns what the index must be told, and '1' if something waits for the key, or will.
local id, wakeKey, call, limit = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local leaf = known(id)
if not leaf or isOver(leaf.state) then return { {}, '0' } end
if string.find(leaf.calls, call, 1, true) then return { {}, '1' } end
local wakes = key('wakes', leaf.id)
local sent, usedUp = unpack(redis.call('ZMSCORE', wakes, 'sent:' .. wakeKey, 'used:' .. wakeKey))
if usedUp then return { {}, '0' } end
if sent then return { {}, '1' } end
local waits = leaf.waiting and leaf.wake == wakeKey
redis.call('ZADD', wakes, int(us), (waits and 'used:' or 'sent:') .. wakeKey)
redis.call('ZREMRANGEBYRANK', wakes, 0, -1 - limit)
redis.call('HSET', leaf.key, 'calls', string.sub(call .. leaf.calls, 1, 64))
if waits then endWait(leaf, 'woken') end
return { close(), '1' }
