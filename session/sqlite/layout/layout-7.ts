/** What layout 7 adds: leaves that have files on the volume, and since when these have to be written, in milliseconds since the Unix epoch; absent: not now. */
export const LAYOUT_7 = `
CREATE TABLE harness_files (
  n INTEGER PRIMARY KEY,
  due_ms INTEGER
) STRICT;
CREATE INDEX harness_files_due ON harness_files (due_ms) WHERE due_ms IS NOT NULL;

UPDATE harness_layout SET version = 7;
`;
