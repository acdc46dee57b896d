-- Put before every script that asks for the time: `us`, in microseconds. ARGV[1] is the time in milliseconds, or empty for this server's own
-- clock.
local us
if ARGV[1] == '' then
  local time = redis.call('TIME')
  us = time[1] * 1000000 + time[2]
else
  us = tonumber(ARGV[1]) * 1000
end

