/** What layout 6 adds: whether a session has no leaf any more, so that those that can be removed are found without walking all of them. */
export const LAYOUT_6 = `
ALTER TABLE harness_sessions ADD COLUMN leafless INTEGER NOT NULL DEFAULT 0;
UPDATE harness_sessions SET leafless = 1
  WHERE NOT EXISTS (SELECT 1 FROM harness_leaves l WHERE l.tenant = harness_sessions.tenant AND l.session_id = harness_sessions.session_id);
CREATE INDEX harness_sessions_leafless ON harness_sessions (epoch) WHERE leafless = 1;

UPDATE harness_layout SET version = 6;
`;
