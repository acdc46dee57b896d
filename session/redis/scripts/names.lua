-- include: clock
-- KEYS[1] is the name of a partition, of the index or of another slot, in braces: every key of it begins with that, so that a script stays in one
-- slot. ARGV[2] begins the names of channels.
local base, channels = KEYS[1], ARGV[2]
local ms = string.format('%.0f', math.floor(us / 1000))

local function int(number) return string.format('%.0f', number) end
local function key(kind, name) return base .. ':' .. kind .. ':' .. name end
