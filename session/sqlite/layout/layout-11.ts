/**
 * What layout 11 adds: the pool of sandboxes, and which one each session is in. `sandbox` is a `harness.leaf.v1.Sandbox` without what stands in other
 * columns. A placement's `lease_ms` is when its lease ends, 0 for none.
 */
export const LAYOUT_11 = `
CREATE TABLE harness_sandboxes (
  name TEXT NOT NULL PRIMARY KEY,
  alive_until_ms INTEGER NOT NULL,
  draining INTEGER NOT NULL DEFAULT 0,
  sandbox BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE harness_placements (
  tenant TEXT NOT NULL,
  session_id TEXT NOT NULL,
  sandbox TEXT NOT NULL,
  state_id TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  lease_ms INTEGER NOT NULL,
  PRIMARY KEY (tenant, session_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX harness_placements_in ON harness_placements (sandbox, lease_ms);

UPDATE harness_layout SET version = 11;
`;
