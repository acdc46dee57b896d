-- Take an idempotency key for a leaf, before the leaf is written in its own partition. KEYS: the key. ARGV: 1 time in ms or empty,
-- 2 leaf id, 3 session id, 4 fingerprint, 5 leaf id of a reservation to be replaced where it is older than ARGV[6] ms.
-- Returns the reservation that holds: leaf id, session id, fingerprint, its time in ms, and whether it is too young to be replaced ('1').
local ms
if ARGV[1] == '' then
  local time = redis.call('TIME')
  ms = time[1] * 1000 + math.floor(time[2] / 1000)
else
  ms = tonumber(ARGV[1])
end
local now = string.format('%.0f', ms)
local known = redis.call('HMGET', KEYS[1], 'leaf', 'session', 'fingerprint', 'at')
local replaced = known[1] and known[1] == ARGV[5] and ms - tonumber(known[4]) > tonumber(ARGV[6])
if not known[1] or replaced then
  redis.call('HSET', KEYS[1], 'leaf', ARGV[2], 'session', ARGV[3], 'fingerprint', ARGV[4], 'at', now)
  return { ARGV[2], ARGV[3], ARGV[4], now, '1' }
end
-- Who comes with the same leaf finishes what another one may have begun: the time to do so runs anew.
if known[3] == ARGV[4] then
  redis.call('HSET', KEYS[1], 'at', now)
  known[4] = now
end
return { known[1], known[2], known[3], known[4], ms - tonumber(known[4]) > tonumber(ARGV[6]) and '0' or '1' }
