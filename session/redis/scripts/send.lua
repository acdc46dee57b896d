-- include: lib
-- Say something to a leaf. ARGV: 3 leaf id, 4 message's id, 5 message without its time, 6 messages that wait at the most. Returns an empty list, and a
-- word, or 'MESSAGE' and the event of the message that the id stands for.
-- messages:ID holds the place in the log of every message, by its id; the leaf's `unread` those that were not delivered, a line each.
local id, messageId, message, limit = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local leaf, messages = key('leaf', id), key('messages', id)
local state, lastSeq, places, lastSaid, deadline = unpack(redis.call('HMGET', leaf, 'state', 'seq', 'unread', 'said', 'deadline'))
if not state then return { {}, 'NO_LEAF' } end
local known = redis.call('HGET', messages, messageId)
if known then return { {}, 'MESSAGE', logged(id, known) } end
if isOver(state) then return { {}, 'ENDED' } end
if deadlineOf(deadline) <= now then return { {}, 'TOO_LATE' } end
local _, count = string.gsub(places or '', '%d+', '')
if count >= limit then return { {}, 'TOO_MANY' } end
local said, seq = int(math.max(now, tonumber(lastSaid or 0) + 1)), int(tonumber(lastSeq) + 1)
event(id, tonumber(seq), bytes(16, bytes(1, message .. number(5, said))))
redis.call('HSET', messages, messageId, seq)
redis.call('HSET', leaf, 'seq', seq, 'said', said, 'unread', places and places .. '\n' .. seq or seq)
announce(id, seq)
wish(id)
return { {}, 'MESSAGE', logged(id, seq) }
