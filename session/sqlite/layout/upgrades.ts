/**
 * What layout 3 adds: messages to leaves, which stand in the log. `unread` names the places there of those that wait to be delivered, oldest first and
 * a line each; `said_ms` is the time of the last one. Both are absent if there are none.
 */
export const LAYOUT_3 = `
ALTER TABLE harness_leaves ADD COLUMN unread TEXT;
ALTER TABLE harness_leaves ADD COLUMN said_ms INTEGER;

UPDATE harness_layout SET version = 3;
`;

/**
 * What layout 4 adds: when an unfinished leaf has to be over, in milliseconds since the Unix epoch; absent if it may take as long as it takes. For leaves
 * that are there already, `deadline_from` (spec, time of submission) is a function of the one who runs this.
 */
export const LAYOUT_4 = `
ALTER TABLE harness_leaves ADD COLUMN deadline_ms INTEGER;
UPDATE harness_leaves SET deadline_ms = deadline_from((SELECT spec FROM harness_specs s WHERE s.n = harness_leaves.n), created_ms);
CREATE INDEX harness_leaves_deadline ON harness_leaves (deadline_ms) WHERE state < 6 AND deadline_ms IS NOT NULL;

UPDATE harness_layout SET version = 4;
`;

/**
 * What layout 5 adds: whose leaf a tombstone is of, empty if an older layout buried it; the bearer tokens that were made; and what one process of
 * several does for all of them, and until when, in milliseconds since the Unix epoch.
 */
export const LAYOUT_5 = `
ALTER TABLE harness_tombstones ADD COLUMN tenant TEXT NOT NULL DEFAULT '';

CREATE TABLE harness_tokens (
  token_id TEXT PRIMARY KEY,
  tenant TEXT NOT NULL,
  expires_ms INTEGER NOT NULL,
  revoked INTEGER NOT NULL,
  token BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX harness_tokens_tenant ON harness_tokens (tenant, token_id);
CREATE INDEX harness_tokens_expired ON harness_tokens (expires_ms);

CREATE TABLE harness_duties (
  duty TEXT PRIMARY KEY,
  holder TEXT NOT NULL,
  until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

UPDATE harness_layout SET version = 5;
`;

/** What layout 6 adds: whether a session has no leaf any more, so that those that can be removed are found without walking all of them. */
export const LAYOUT_6 = `
ALTER TABLE harness_sessions ADD COLUMN leafless INTEGER NOT NULL DEFAULT 0;
UPDATE harness_sessions SET leafless = 1
  WHERE NOT EXISTS (SELECT 1 FROM harness_leaves l WHERE l.tenant = harness_sessions.tenant AND l.session_id = harness_sessions.session_id);
CREATE INDEX harness_sessions_leafless ON harness_sessions (epoch) WHERE leafless = 1;

UPDATE harness_layout SET version = 6;
`;

/** What layout 7 adds: leaves that have files on the volume, and since when these have to be written, in milliseconds since the Unix epoch; absent: not now. */
export const LAYOUT_7 = `
CREATE TABLE harness_files (
  n INTEGER PRIMARY KEY,
  due_ms INTEGER
) STRICT;
CREATE INDEX harness_files_due ON harness_files (due_ms) WHERE due_ms IS NOT NULL;

UPDATE harness_layout SET version = 7;
`;

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

/** What layout 10 adds: what each tenant, and each account in it, has and used. `account` is empty for the tenant itself; `day`: the day that the last two columns count. */
export const LAYOUT_10 = `
ALTER TABLE harness_leaves ADD COLUMN account TEXT NOT NULL DEFAULT '';
ALTER TABLE harness_leaves ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
CREATE TABLE harness_accounts (
  tenant TEXT NOT NULL,
  account TEXT NOT NULL,
  unfinished INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0,
  day INTEGER NOT NULL DEFAULT 0,
  tokens INTEGER NOT NULL DEFAULT 0,
  micro_usd INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, account)
) STRICT, WITHOUT ROWID;

UPDATE harness_leaves SET bytes = coalesce((SELECT length(spec) FROM harness_specs s WHERE s.n = harness_leaves.n), 0)
  + coalesce((SELECT sum(length(event)) FROM harness_events e WHERE e.n = harness_leaves.n), 0);
INSERT INTO harness_accounts (tenant, account, unfinished, bytes)
  SELECT tenant, '', sum(state < 6), sum(bytes) FROM harness_leaves GROUP BY tenant;

CREATE TRIGGER harness_accounts_submitted AFTER INSERT ON harness_leaves BEGIN
  INSERT INTO harness_accounts (tenant, account, unfinished, bytes) VALUES (NEW.tenant, '', 1, NEW.bytes)
    ON CONFLICT (tenant, account) DO UPDATE SET unfinished = unfinished + 1, bytes = bytes + NEW.bytes;
  INSERT INTO harness_accounts (tenant, account, unfinished, bytes) SELECT NEW.tenant, NEW.account, 1, NEW.bytes WHERE NEW.account <> ''
    ON CONFLICT (tenant, account) DO UPDATE SET unfinished = unfinished + 1, bytes = bytes + NEW.bytes;
END;
CREATE TRIGGER harness_accounts_state AFTER UPDATE OF state ON harness_leaves WHEN (OLD.state < 6) <> (NEW.state < 6) BEGIN
  UPDATE harness_accounts SET unfinished = unfinished + iif(NEW.state < 6, 1, -1) WHERE tenant = NEW.tenant AND account IN ('', NEW.account);
END;
CREATE TRIGGER harness_accounts_bytes AFTER UPDATE OF bytes ON harness_leaves BEGIN
  UPDATE harness_accounts SET bytes = bytes + NEW.bytes - OLD.bytes WHERE tenant = NEW.tenant AND account IN ('', NEW.account);
END;
CREATE TRIGGER harness_accounts_removed AFTER DELETE ON harness_leaves BEGIN
  UPDATE harness_accounts SET bytes = bytes - OLD.bytes WHERE tenant = OLD.tenant AND account IN ('', OLD.account);
END;

UPDATE harness_layout SET version = 10;
`;

/**
 * What layout 11 adds: the pool of sandboxes, and which one each session is in. `sandbox` is a `harness.leaf.v1.Sandbox` without what stands in other
 * columns. A placement's `lease_ms` is when its lease ends, 0 for none; an empty `sandbox` is none. Until it has settled, its files come from another
 * sandbox, or from a snapshot.
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
  from_sandbox TEXT NOT NULL DEFAULT '',
  from_state_id TEXT NOT NULL DEFAULT '',
  snapshot_id TEXT NOT NULL DEFAULT '',
  left_sandbox TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (tenant, session_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX harness_placements_in ON harness_placements (sandbox, lease_ms);

UPDATE harness_layout SET version = 11;
`;
