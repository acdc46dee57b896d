-- include: sandboxes
-- Every sandbox, in any order.
local found = {}
for _, name in ipairs(redis.call('SMEMBERS', all)) do table.insert(found, shown(name)) end
return found
