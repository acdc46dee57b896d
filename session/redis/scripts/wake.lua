-- End a leaf's wait for a key, or keep the wake for who will wait for it. ARGV: 3 leaf id, 4 key, 5 call, 6 keys that are kept at the most.
-- Returns what the index must be told, and '1' where something waits for the key, or will.
local leaf = known(ARGV[3])
if not leaf or isOver(leaf.state) then return { {}, '0' } end
if string.find(leaf.calls, ARGV[5], 1, true) then return { {}, '1' } end
local wakes = key('wakes', leaf.id)
local was = redis.call('ZMSCORE', wakes, 'sent:' .. ARGV[4], 'used:' .. ARGV[4])
if was[2] then return { {}, '0' } end
if was[1] then return { {}, '1' } end
local waits = leaf.waiting and leaf.wake == ARGV[4]
redis.call('ZADD', wakes, int(us), (waits and 'used:' or 'sent:') .. ARGV[4])
redis.call('ZREMRANGEBYRANK', wakes, 0, -1 - tonumber(ARGV[6]))
redis.call('HSET', leaf.key, 'calls', string.sub(ARGV[5] .. leaf.calls, 1, 64))
if waits then endWait(leaf, 'woken') end
return { close(), '1' }
