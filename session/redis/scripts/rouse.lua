-- include: lib
-- End the wait for a key of the leaf that is its session's first. ARGV: 3 session, 4 note. Returns what the index must be told, and '1' if one waited.
local session, note = ARGV[3], ARGV[4]
local id = redis.call('HGET', key('session', session), 'head')
local leaf = id and known(id)
if not leaf or not leaf.waiting or (leaf.wake or '') == '' then return { {}, '0' } end
endWait(leaf, note)
return { close(), '1' }
