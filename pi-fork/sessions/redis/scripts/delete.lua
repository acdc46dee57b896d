-- Delete a session, or what is left of one that was never created, 500 lists at a time. ARGV: 2 epoch, 3 '1' where it must be known.
-- Returns '1' while there is more.
if not owns(ARGV[2]) then return STALE end
if ARGV[3] == '1' and redis.call('HEXISTS', meta, 'id') == 0 then return { err = 'UNKNOWN_SESSION' } end
redis.call('ZREM', base .. ':pi-sessions', NAME)
redis.call('UNLINK', meta, heads, bodies, order, pi .. 'usage', pi .. 'usage-ids', pi .. 'usage-sums')
for _, space in ipairs(redis.call('SMEMBERS', pi .. 'spaces')) do
  redis.call('UNLINK', pi .. 'names:' .. space, pi .. 'values:' .. space)
end
redis.call('UNLINK', pi .. 'spaces')
for _, name in ipairs(redis.call('SPOP', pi .. 'lists', PAGE)) do redis.call('UNLINK', pi .. 'list:' .. name) end
return redis.call('EXISTS', pi .. 'lists') == 1 and '1' or '0'
