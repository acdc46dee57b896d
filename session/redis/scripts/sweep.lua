-- include: notices
-- Remove leaves that are over for long, and tombstones. ARGV: 3 ms that a leaf is kept from its end, 4 ms that a tombstone is from then on,
-- 5 leaves and 6 tombstones at the most. Returns how many leaves; and the tombstones whose idempotency keys have to be given back first, leaf
-- and key's name of each. On one node that has happened, and their number is returned.
local keptMs, tombstoneMs, leafLimit, tombstoneLimit = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[6]
local leaves = redis.call('ZRANGEBYSCORE', base .. ':ended', '-inf', int(now - keptMs), 'LIMIT', 0, leafLimit)
for _, id in ipairs(leaves) do
  local session, state, keyName, labels, notify, account, size =
    unpack(redis.call('HMGET', key('leaf', id), 'session', 'state', 'key', 'labels', 'notify', 'account', 'bytes'))
  for name in string.gmatch((labels or '') .. '\nleaves', '[^\n]+') do redis.call('ZREM', base .. ':' .. name, id) end
  redis.call('ZREM', key('tenant', tenantOf(session)), id)
  redis.call('ZREM', key('of', session), id)
  if redis.call('EXISTS', key('of', session)) == 0 then
    redis.call('ZADD', base .. ':leafless', redis.call('HGET', key('session', session), 'epoch'), session)
  end
  if LISTED[state] then redis.call('ZREM', key('state', state), id) end
  redis.call('ZREM', base .. ':ended', id)
  redis.call('ZREM', base .. ':files', id)
  if notify then dropNotices(id, session) end
  if isCounted(size) then uncount(session, account, size) end
  redis.call('UNLINK', key('leaf', id), key('events', id), key('keys', id), key('gates', id), key('wakes', id), key('messages', id))
  redis.call('SET', key('tomb', id), table.concat({ state, ms, keyName or '', tenantOf(session) }, ' '))
  redis.call('ZADD', base .. ':tombs', ms, id)
  announce(id, 0)
end
local old = redis.call('ZRANGEBYSCORE', base .. ':tombs', '-inf', int(now - tombstoneMs), 'LIMIT', 0, tombstoneLimit)
local keys = {}
for _, id in ipairs(old) do
  local name = string.match(redis.call('GET', key('tomb', id)) or '', '^%d+ %d+ (%S*)') or ''
  local reservation = channels .. ':idempotency:' .. name
  if TOGETHER or name == '' then
    if name ~= '' and redis.call('HGET', reservation, 'leaf') == id then redis.call('DEL', reservation) end
    redis.call('DEL', key('tomb', id))
    redis.call('ZREM', base .. ':tombs', id)
  else
    table.insert(keys, id)
    table.insert(keys, name)
  end
end
return { int(#leaves), int(#old), keys }
