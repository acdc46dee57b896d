-- What an account has and used today in a partition. ARGV: 3 tenant, 4 account or empty. Returns unfinished leaves, bytes, tokens, cost.
local known = inUse(accountsOf(ARGV[3], ARGV[4] ~= '' and ARGV[4] or nil)[ARGV[4] == '' and 1 or 2])
return { int(known[1]), int(known[2]), int(known[3]), int(known[4]) }
