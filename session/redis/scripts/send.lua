-- Say something to a leaf. ARGV: 3 leaf id, 4 message's id, 5 message without its time, 6 messages that wait at the most. Returns an empty list, and a
-- word, or 'MESSAGE' and the event of the message that the id stands for.
-- messages:ID holds the place in the log of every message, by its id; the leaf's `unread` those that were not delivered, a line each.
local id, leaf, messages = ARGV[3], key('leaf', ARGV[3]), key('messages', ARGV[3])
local row = redis.call('HMGET', leaf, 'state', 'seq', 'unread', 'said', 'deadline')
if not row[1] then return { {}, 'NO_LEAF' } end
local known = redis.call('HGET', messages, ARGV[4])
if known then return { {}, 'MESSAGE', logged(id, known) } end
if isOver(row[1]) then return { {}, 'ENDED' } end
if deadlineOf(row[5]) <= now then return { {}, 'TOO_LATE' } end
local _, count = string.gsub(row[3] or '', '%d+', '')
if count >= tonumber(ARGV[6]) then return { {}, 'TOO_MANY' } end
local said, seq = int(math.max(now, tonumber(row[4] or 0) + 1)), int(tonumber(row[2]) + 1)
event(id, tonumber(seq), bytes(16, bytes(1, ARGV[5] .. number(5, said))))
redis.call('HSET', messages, ARGV[4], seq)
redis.call('HSET', leaf, 'seq', seq, 'said', said, 'unread', row[3] and row[3] .. '\n' .. seq or seq)
announce(id, seq)
wish(id)
return { {}, 'MESSAGE', logged(id, seq) }
