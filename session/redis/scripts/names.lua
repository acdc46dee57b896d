-- Put before every script of a partition, behind the clock. KEYS[1] is the partition's name in braces, which every key of it begins with, so that
-- a script stays in one slot. ARGV[2] begins the channels' names.
local base, channels = KEYS[1], ARGV[2]
local ms = string.format('%.0f', math.floor(us / 1000))

local function int(number) return string.format('%.0f', number) end
local function key(kind, name) return base .. ':' .. kind .. ':' .. name end

