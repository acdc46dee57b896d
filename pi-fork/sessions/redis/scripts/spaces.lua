-- include: lib
-- Names of the spaces that ever held a value.
return redis.call('SMEMBERS', pi .. 'spaces')
