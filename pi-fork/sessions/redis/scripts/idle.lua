-- include: lib
-- Names of a partition's sessions that were not written to since a time, the longest idle first, at most 500; those with a leaf that is not over are
-- empty. ARGV: 2 that time in ms, 3 how many to skip.
local latest, skip = ARGV[2], ARGV[3]
local names = redis.call('ZRANGE', base .. ':pi-sessions', '-inf', latest, 'BYSCORE', 'LIMIT', skip, PAGE)
for i, name in ipairs(names) do
  if redis.call('HEXISTS', base .. ':session:' .. name, 'head') == 1 then names[i] = '' end
end
return names
