/**
 * What layout 5 adds: whose leaf a tombstone is of, empty where an older layout buried it; the bearer tokens that were made; and what one process of
 * several does for all of them, with the time until which it is its, in milliseconds since the Unix epoch.
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
