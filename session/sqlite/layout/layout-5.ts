/** What layout 5 adds: what one process of several does for all of them, and until when it is its, in milliseconds since the Unix epoch. */
export const LAYOUT_5 = `
CREATE TABLE harness_duties (
  duty TEXT PRIMARY KEY,
  holder TEXT NOT NULL,
  until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

UPDATE harness_layout SET version = 5;
`;
