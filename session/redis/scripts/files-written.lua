-- include: names
-- What a leaf had to show at an event is written. ARGV: 3 leaf id, 4 the event's number. A leaf to which something has happened since stays.
local id, seq = ARGV[3], ARGV[4]
if redis.call('HGET', key('leaf', id), 'seq') == seq then redis.call('ZREM', base .. ':files', id) end
return 'OK'
