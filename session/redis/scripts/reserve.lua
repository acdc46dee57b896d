-- include: clock
-- Take an idempotency key for a leaf, before the leaf is written in its own partition. KEYS: 1 the key. ARGV: 1 time in ms or empty,
-- 2 leaf id, 3 session id, 4 fingerprint, 5 leaf id of a reservation to be replaced if it is older than 6, in ms.
-- Returns the reservation that holds: leaf id, session id, fingerprint, its time in ms, and '1' if it is too young to be replaced.
local reservation, id, session, fingerprint, replaceable, abandonedMs = KEYS[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local nowMs = math.floor(us / 1000)
local at = string.format('%.0f', nowMs)
local knownId, knownSession, knownFingerprint, knownAt = unpack(redis.call('HMGET', reservation, 'leaf', 'session', 'fingerprint', 'at'))
local function isOld() return nowMs - tonumber(knownAt) > abandonedMs end
if not knownId or knownId == replaceable and isOld() then
  redis.call('HSET', reservation, 'leaf', id, 'session', session, 'fingerprint', fingerprint, 'at', at)
  return { id, session, fingerprint, at, '1' }
end
-- Who comes with the same leaf finishes what another may have begun: the time to do so begins again.
if knownFingerprint == fingerprint then
  redis.call('HSET', reservation, 'at', at)
  knownAt = at
end
return { knownId, knownSession, knownFingerprint, knownAt, isOld() and '0' or '1' }
