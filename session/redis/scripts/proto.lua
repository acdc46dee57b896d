-- Protobuf's binary form, as far as scripts write it themselves: what holds the time, or a state that only the script knows.
local function varint(number)
  local bytes = ''
  while number >= 128 do
    bytes = bytes .. string.char(128 + number % 128)
    number = math.floor(number / 128)
  end
  return bytes .. string.char(number)
end

-- A field that holds a number, nothing if that is 0; and one that holds bytes.
local function number(field, value)
  value = tonumber(value)
  return value == 0 and '' or varint(field * 8) .. varint(value)
end
local function bytes(field, value) return varint(field * 8 + 2) .. varint(#value) .. value end

-- A LeafEvent of kind StateChanged. `failure` may be absent.
local function stateChanged(state, notBefore, note, failure)
  return bytes(4, number(1, state) .. number(4, notBefore) .. (failure and bytes(6, failure) or '') .. (note == '' and '' or bytes(7, note)))
end

