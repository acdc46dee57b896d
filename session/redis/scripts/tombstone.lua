-- What is left of a leaf: state, and time of its removal in ms; nothing where it is there, unknown or gone for longer. ARGV: 3 leaf id.
local state, expired = string.match(redis.call('GET', key('tomb', ARGV[3])) or '', '^(%d+) (%d+)')
return state and { state, expired } or {}
