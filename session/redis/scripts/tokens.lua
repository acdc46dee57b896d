-- include: names
-- What the scripts of tokens share. All tokens are in one slot, which `base` begins. A token's name is its tenant and its id
-- with a space between, so that names are in the order of tenants and ids.
--   all   zset  names   ends  zset  ids by the time in ms at which they expire
--   at:ID  hash  name · token: as it was made, a message · expires: in ms · revoked: when, in ms · by: who revoked it
local all, ends = base .. ':all', base .. ':ends'

-- A token as it is, and its name; nothing if there is none or it expired.
local function shown(id)
  local row = redis.call('HMGET', key('at', id), 'token', 'revoked', 'by', 'expires', 'name')
  local token, _, _, expires, name = unpack(row)
  if token and tonumber(expires) > tonumber(ms) then return row, name end
end

