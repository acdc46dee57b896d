/**
 * What layout 2 adds: waits, gates, attempts, fair claims, retention, schedules. Its statements run once in a file of layout 1, also if
 * that is new.
 *
 * `waiting` is set while a leaf waits for a gate, a key or a time; if that is no time, `due_ms` is absent although it is its session's
 * first. `open_gates` and `attempts` count rows elsewhere, so that who reads a leaf looks for them only if there are some. A gate is waited
 * for by the claim whose epoch it names.
 *
 * `harness_queue` has one row: the virtual time of fair claims, the epoch that a new session begins with, the largest number of a leaf that was
 * removed, and a counter of changes that no event tells of.
 */
export const LAYOUT_2 = `
ALTER TABLE harness_leaves ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE harness_leaves ADD COLUMN waiting INTEGER NOT NULL DEFAULT 0;
ALTER TABLE harness_leaves ADD COLUMN wake_key TEXT;
ALTER TABLE harness_leaves ADD COLUMN open_gates INTEGER NOT NULL DEFAULT 0;
ALTER TABLE harness_leaves ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE harness_leaves ADD COLUMN redrives INTEGER NOT NULL DEFAULT 0;
ALTER TABLE harness_leaves ADD COLUMN restarts INTEGER NOT NULL DEFAULT 0;
CREATE INDEX harness_leaves_ready ON harness_leaves (tenant, priority DESC) WHERE due_ms = 0;
CREATE INDEX harness_leaves_ended ON harness_leaves (updated_ms) WHERE state >= 6;
CREATE INDEX harness_labels_leaf ON harness_labels (n);
CREATE INDEX harness_idempotency_leaf ON harness_idempotency (n);

CREATE TABLE harness_queue (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  clock INTEGER NOT NULL,
  first_epoch INTEGER NOT NULL,
  last_removed INTEGER NOT NULL,
  changes INTEGER NOT NULL
) STRICT;
INSERT INTO harness_queue VALUES (1, 0, 0, 0, 0);

CREATE TABLE harness_gates (
  id INTEGER PRIMARY KEY,
  n INTEGER NOT NULL,
  gate_id TEXT NOT NULL,
  decided INTEGER NOT NULL DEFAULT 0,
  waited_epoch INTEGER NOT NULL DEFAULT 0,
  gate BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX harness_gates_leaf ON harness_gates (n, gate_id);

CREATE TABLE harness_wakes (
  id INTEGER PRIMARY KEY,
  n INTEGER NOT NULL,
  key TEXT NOT NULL,
  used INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX harness_wakes_leaf ON harness_wakes (n, key);

CREATE TABLE harness_attempts (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, attempt BLOB NOT NULL) STRICT;
CREATE INDEX harness_attempts_leaf ON harness_attempts (n);

CREATE TABLE harness_tenants (
  tenant TEXT PRIMARY KEY,
  weight INTEGER NOT NULL DEFAULT 1,
  max_running INTEGER NOT NULL DEFAULT 0,
  pass INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX harness_tenants_capped ON harness_tenants (tenant) WHERE max_running > 0;

CREATE TABLE harness_tombstones (
  n INTEGER PRIMARY KEY,
  leaf_id TEXT NOT NULL UNIQUE,
  state INTEGER NOT NULL,
  expired_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX harness_tombstones_expired ON harness_tombstones (expired_ms);

CREATE TABLE harness_schedules (
  tenant TEXT NOT NULL,
  schedule_id TEXT NOT NULL,
  next_fire_ms INTEGER NOT NULL,
  paused INTEGER NOT NULL,
  schedule BLOB NOT NULL,
  PRIMARY KEY (tenant, schedule_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX harness_schedules_due ON harness_schedules (next_fire_ms) WHERE paused = 0 AND next_fire_ms > 0;

UPDATE harness_layout SET version = 2;
`;
