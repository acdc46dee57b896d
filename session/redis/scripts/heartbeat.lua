-- include: lib
-- Set the end of a claim's lease. ARGV: 3 to 6 the claim, 7 lease in ms. Returns what the index must be told, '1' if a cancel was asked for,
-- and the events of the messages that were not delivered.
local leaseMs = tonumber(ARGV[7])
local leaf = owned()
if not leaf then return STALE end
local ends = now + leaseMs
if redis.call('ZADD', base .. ':leases', int(ends), leaf.id) == 1 then
  -- Its lease was over, and nobody had claimed it yet.
  unready(leaf)
  local row = rowOf(tenantOf(leaf.session))
  row.running = row.running + 1
end
soon(ends)
return { close(), leaf.cancel or '0', unread(leaf.id, redis.call('HGET', leaf.key, 'unread') or '') }
