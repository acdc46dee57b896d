-- include: names
-- '1' if a token was revoked. ARGV: 3 id.
local id = ARGV[3]
return redis.call('HEXISTS', key('at', id), 'revoked') == 1 and '1' or '0'
