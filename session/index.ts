export { isTerminal, sessionKey } from "./leaf-state.ts";
export type { Backlog, Claim, Fence, LeafQuery, LeafStore, NewEvent, NewLeaf, Outcome } from "./leaf-store.ts";
export { openLeafStore } from "./open.ts";
export { parseStoreUrl, type RedisAddress, type StoreAddress } from "./store-url.ts";
