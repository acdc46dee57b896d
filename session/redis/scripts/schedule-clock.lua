-- include: names
-- The time, in ms.
return ms
