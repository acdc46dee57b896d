-- include: sandboxes
-- The clock in ms, then every sandbox, in any order.
local found = { ms }
for _, name in ipairs(redis.call('SMEMBERS', all)) do table.insert(found, shown(name)) end
return found
