-- The time, in ms.
return ms
