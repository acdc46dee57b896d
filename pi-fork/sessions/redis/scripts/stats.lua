-- include: lib
-- The totals, and the next sequence number.
return { stats(), redis.call('HGET', meta, 'next') or '' }
