-- include: lib
-- Take messages out of a leaf's record. ARGV: 3 to 6 the claim, from 7 on their ids. Returns an empty list: the index need not know.
local leaf = owned()
if not leaf then return STALE end
local gone, seq = {}, leaf.seq
local unread = '\n' .. (redis.call('HGET', leaf.key, 'unread') or '') .. '\n'
for _, messageId in ipairs({ unpack(ARGV, 7) }) do
  local place = redis.call('HGET', key('messages', leaf.id), messageId)
  if place and not gone[place] and string.find(unread, '\n' .. place .. '\n', 1, true) then
    gone[place] = true
    seq = seq + 1
    event(leaf.id, seq, bytes(17, bytes(1, messageId)))
  end
end
if seq == leaf.seq then return { {} } end
local left = {}
for place in string.gmatch(unread, '%d+') do
  if not gone[place] then table.insert(left, place) end
end
redis.call('HSET', leaf.key, 'seq', int(seq))
if left[1] then redis.call('HSET', leaf.key, 'unread', table.concat(left, '\n')) else redis.call('HDEL', leaf.key, 'unread') end
announce(leaf.id, seq)
return { {} }
