-- What is left of a leaf: state, time of its removal in ms, and tenant, which one of an older version does not tell; nothing where it is there, unknown or gone for longer. ARGV: 3 leaf id.
local state, expired, tenant = string.match(redis.call('GET', key('tomb', ARGV[3])) or '', '^(%d+) (%d+) ?%S* ?(%S*)')
return state and { state, expired, tenant } or {}
