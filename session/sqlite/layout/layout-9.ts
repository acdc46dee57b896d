/**
 * What layout 9 adds: what somebody outside is to be told, an event of a leaf each. `dead`: it was given up. `token` names who tells it at present, which
 * is nobody else's until `due_ms`.
 */
export const LAYOUT_9 = `
ALTER TABLE harness_leaves ADD COLUMN notify INTEGER NOT NULL DEFAULT 0;
CREATE TABLE harness_notices (
  n INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  tenant TEXT NOT NULL,
  due_ms INTEGER NOT NULL,
  dead INTEGER NOT NULL DEFAULT 0,
  note TEXT NOT NULL DEFAULT '',
  token TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (n, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX harness_notices_due ON harness_notices (dead, tenant, due_ms);

UPDATE harness_layout SET version = 9;
`;
