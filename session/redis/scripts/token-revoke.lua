-- Note that a token is worth nothing. ARGV: 3 id, 4 tenant that it has to be of, or empty, 5 who revokes it. Returns the token, or nothing.
local row = shown(ARGV[3])
if not row or (ARGV[4] ~= '' and string.match(row[5], '^[^ ]*') ~= ARGV[4]) then return {} end
if not row[2] then redis.call('HSET', key('at', ARGV[3]), 'revoked', ms, 'by', ARGV[5]) end
return shown(ARGV[3])
