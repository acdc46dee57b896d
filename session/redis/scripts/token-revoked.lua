-- '1' where a token was revoked. ARGV: 3 id.
return redis.call('HEXISTS', key('at', ARGV[3]), 'revoked') == 1 and '1' or '0'
