import type { LeafStore } from "./contract/leaf-store.ts";
import { parseStoreUrl } from "./contract/store-url.ts";

export type { AccountLimits, Accounts, AccountUse, Charge } from "./contract/accounts.ts";
export { limitReached, type Owner } from "./contract/accounts.ts";
export type { Claim, Fence, NewEvent } from "./contract/claim.ts";
export type { Duties } from "./contract/duties.ts";
export { sessionNotFound } from "./contract/errors.ts";
export type { Files } from "./contract/files.ts";
export type { NewDecision, NewGate } from "./contract/gates.ts";
export type { LeafQuery } from "./contract/leaf.ts";
export { deadlineOf, isTerminal, sessionKey } from "./contract/leaf.ts";
export type { Backlog, LeafStore, NewLeaf, Outcome } from "./contract/leaf-store.ts";
export type { Messages, NewMessage, Wishes } from "./contract/messages.ts";
export { checkMessage } from "./contract/messages.ts";
export type { ClaimedNotice, Notice, NoticeEnd, Notices } from "./contract/notices.ts";
export type { IdleSession, Retained, Retention } from "./contract/retention.ts";
export {
  type PlacedSession,
  type Placement,
  type PlacementWishes,
  type Sandboxes,
  type SandboxReport,
  sandboxNotFound,
  WAITS_FOR_ROOM,
} from "./contract/sandboxes.ts";
export type { DueSchedules, Schedules } from "./contract/schedules.ts";
export { parseStoreUrl, type RedisAddress, type StoreAddress } from "./contract/store-url.ts";
export { DEFAULT_TENANT, type TenantSettings, type Tenants } from "./contract/tenants.ts";
export type { Tokens } from "./contract/tokens.ts";
export type { Wait, WaitingLeaves } from "./contract/waiting.ts";

/**
 * Open the leaf store at an address: `sqlite:/absolute/path/leaf.db` (the file is made if it is absent, its directory must exist), or
 * `redis://host:port` (`store-url.ts` has the whole form). Throws a ConfigError that says what to do for another scheme, a path that can't
 * be used, a file that is not a database, a Redis that can't be reached or would lose data, and a store that another version laid out.
 */
export async function openLeafStore(url: string): Promise<LeafStore> {
  const address = parseStoreUrl(url);
  // Each driver is loaded only if it is used: a brain that starts from zero pays for one.
  if (address.kind === "sqlite") return (await import("./sqlite/store.ts")).openSqliteLeafStore(address.path);
  return (await import("./redis/store.ts")).openRedisLeafStore(address.redis);
}
