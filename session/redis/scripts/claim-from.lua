-- include: take
-- Claim from this partition on a cluster, since the index said so. ARGV: 3 to 7 as take.lua names them, 8 tenant. Returns what the index must be
-- told, and the claim or nothing.
local tenant = ARGV[8]
local before = claimedBefore()
if before then return { {}, before } end
promote()
rowOf(tenant)
local claim = take(tenant)
return { close(not claim), claim or {} }
