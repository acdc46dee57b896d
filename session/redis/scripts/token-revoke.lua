-- include: tokens
-- Note that a token is worth nothing. ARGV: 3 id, 4 tenant that it has to be of, or empty, 5 who revokes it. Returns the token, or nothing.
local id, tenant, revokedBy = ARGV[3], ARGV[4], ARGV[5]
local row, name = shown(id)
if not row or (tenant ~= '' and string.match(name, '^[^ ]*') ~= tenant) then return {} end
if redis.call('HSETNX', key('at', id), 'revoked', ms) == 1 then redis.call('HSET', key('at', id), 'by', revokedBy) end
return (shown(id))
