-- Stop a schedule's fires, or let them go on. ARGV: 3 name, 4 '1' to stop, 5 next fire in ms. Returns the schedule, or nothing where there is none.
if redis.call('EXISTS', key('at', ARGV[3])) == 0 then return {} end
plan(ARGV[3], ARGV[5], ARGV[4])
return shown(ARGV[3])
