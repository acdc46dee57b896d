/** What layout 10 adds: what each tenant, and each account in it, has and used. `account` is empty for the tenant itself; `day` is the one of the last two columns. */
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
