-- What a leaf had to show at an event is written. ARGV: 3 leaf id, 4 the event's number. One to which something has happened since stays.
if redis.call('HGET', key('leaf', ARGV[3]), 'seq') == ARGV[4] then redis.call('ZREM', base .. ':files', ARGV[3]) end
return 'OK'
