-- include: names
-- What is left of a leaf: state, time of its removal in ms, and tenant, which one of an older version does not tell; nothing if the leaf is there, unknown
-- or gone for longer. ARGV: 3 leaf id.
local id = ARGV[3]
local state, expired, tenant = string.match(redis.call('GET', key('tomb', id)) or '', '^(%d+) (%d+) ?%S* ?(%S*)')
return state and { state, expired, tenant } or {}
