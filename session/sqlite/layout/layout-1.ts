/**
 * The tables of layout 1, prefixed because Pi's session tables live in the same file. `n` numbers leaves in order of submission.
 *
 * `due_ms` is the queue: from this time on the leaf can be claimed. 0 while it waits for a worker, `not_before` after a failed attempt, the
 * lease's end while it runs; absent while another leaf of its session is before it, and once it is over itself.
 *
 * What never changes or is large (spec) is kept apart from what is rewritten with every event (the leaf's row).
 */
export const LAYOUT_1 = `
CREATE TABLE harness_layout (version INTEGER NOT NULL) STRICT;

CREATE TABLE harness_sessions (
  tenant TEXT NOT NULL,
  session_id TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  PRIMARY KEY (tenant, session_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE harness_leaves (
  n INTEGER PRIMARY KEY,
  leaf_id TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL,
  session_id TEXT NOT NULL,
  state INTEGER NOT NULL,
  due_ms INTEGER,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  not_before_ms INTEGER NOT NULL DEFAULT 0,
  claims INTEGER NOT NULL DEFAULT 0,
  failed_attempts INTEGER NOT NULL DEFAULT 0,
  epoch INTEGER NOT NULL DEFAULT 0,
  last_seq INTEGER NOT NULL DEFAULT 0,
  cancel_requested INTEGER NOT NULL DEFAULT 0,
  worker_lost INTEGER NOT NULL DEFAULT 0,
  worker_name TEXT,
  worker BLOB,
  usage BLOB,
  failure BLOB,
  result BLOB
) STRICT;
CREATE INDEX harness_leaves_due ON harness_leaves (due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX harness_leaves_state ON harness_leaves (state);
CREATE INDEX harness_leaves_tenant ON harness_leaves (tenant);
CREATE INDEX harness_leaves_tenant_state ON harness_leaves (tenant, state);
CREATE INDEX harness_leaves_session ON harness_leaves (tenant, session_id);
CREATE INDEX harness_leaves_open ON harness_leaves (tenant, session_id) WHERE state < 6;

CREATE TABLE harness_specs (n INTEGER PRIMARY KEY, spec BLOB NOT NULL) STRICT;

CREATE TABLE harness_labels (
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (key, value, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE harness_idempotency (
  tenant TEXT NOT NULL,
  key TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE harness_events (
  id INTEGER PRIMARY KEY,
  n INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  state INTEGER NOT NULL,
  key TEXT,
  event BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX harness_events_seq ON harness_events (n, seq);
CREATE UNIQUE INDEX harness_events_key ON harness_events (n, key) WHERE key IS NOT NULL;

INSERT INTO harness_layout (version) VALUES (1);
`;
