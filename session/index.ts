export { isTerminal, sessionKey } from "./leaf-state.ts";
export type { Backlog, Claim, Fence, LeafQuery, LeafStore, NewEvent, NewLeaf, Outcome } from "./leaf-store.ts";
export type { Messages, NewMessage, Wishes } from "./messages.ts";
export { openLeafStore } from "./open.ts";
export type { Retained, Retention } from "./retention.ts";
export type { Fire, Schedules } from "./schedules.ts";
export { parseStoreUrl, type RedisAddress, type StoreAddress } from "./store-url.ts";
export { DEFAULT_TENANT, type TenantSettings, type Tenants } from "./tenants.ts";
export type { NewDecision, NewGate, Wait, WaitingLeaves } from "./waiting.ts";
