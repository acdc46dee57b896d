-- What this step takes for the time: `us`, in microseconds. ARGV[1] is the time in milliseconds; empty for this server's own clock.
local givenMs, us = ARGV[1], nil
if givenMs == '' then
  local seconds, micros = unpack(redis.call('TIME'))
  us = seconds * 1000000 + micros
else
  us = tonumber(givenMs) * 1000
end
