-- include: lib
-- What an account has and used today in a partition. ARGV: 3 tenant, 4 account or empty. Returns unfinished leaves, bytes, tokens, cost.
local tenant, account = ARGV[3], ARGV[4]
local ofTenant, ofAccount = unpack(accountsOf(tenant, account ~= '' and account or nil))
local unfinished, size, tokens, cost = unpack(inUse(ofAccount or ofTenant))
return { int(unfinished), int(size), int(tokens), int(cost) }
