-- A leaf's record. ARGV: 3 leaf id.
return record(ARGV[3])
