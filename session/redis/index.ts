export { staleEpoch, storeClosed } from "../contract/errors.ts";
export { Database } from "./database.ts";
export { eventBatches } from "./events.ts";
export { loadScript, type Script, STORE_SCRIPTS } from "./link.ts";
export { encode, sessionName } from "./names.ts";
export { type Argument, bytes, callId, list, type Reply, runCommand, runScript, text } from "./scripts.ts";
export { openRedisLeafStore, type RedisLeafStoreOptions } from "./store.ts";
