/**
 * What layout 8 changes: a schedule is one record, which is replaced as a whole by whoever read its newest version. Nothing made schedules before,
 * so there are none to be brought over.
 */
export const LAYOUT_8 = `
DROP TABLE harness_schedules;
CREATE TABLE harness_schedules (
  tenant TEXT NOT NULL,
  schedule_id TEXT NOT NULL,
  version INTEGER NOT NULL,
  due_ms INTEGER NOT NULL,
  record BLOB NOT NULL,
  PRIMARY KEY (tenant, schedule_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX harness_schedules_due ON harness_schedules (due_ms) WHERE due_ms > 0;

UPDATE harness_layout SET version = 8;
`;
