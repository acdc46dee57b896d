-- include: lib
-- Entries by their ids, from ARGV[2] on, at most 500; those that are not there are left out. Returns how many ids were looked at, which may be
-- less, and the entries.
local last = showAll(ARGV, 2)
return { last - 1, shown() }
