-- Claim from this partition on a cluster, where the index said so. ARGV: 8 tenant. Returns what the index must be told, and the claim or nothing.
local before = claimedBefore()
if before then return { {}, before } end
promote()
rowOf(ARGV[8])
local claim = take(ARGV[8])
return { close(not claim), claim or {} }
