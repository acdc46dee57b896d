-- Names of a partition's sessions that were not written to since ARGV[2], in ms, the longest idle first, from place ARGV[3] on, at most 500;
-- those with a leaf that is not over are empty. ARGV[1] is not used.
local names = redis.call('ZRANGE', base .. ':pi-sessions', '-inf', ARGV[2], 'BYSCORE', 'LIMIT', ARGV[3], PAGE)
for i, name in ipairs(names) do
  if redis.call('HEXISTS', base .. ':session:' .. name, 'head') == 1 then names[i] = '' end
end
return names
