export { staleEpoch, storeClosed } from "../contract/errors.ts";
export { callId } from "./calls.ts";
export { Database } from "./database.ts";
export { eventBatches } from "./events.ts";
export { encode, sessionName } from "./names.ts";
export { LOG } from "./programs.ts";
export { type Argument, bytes, list, loadScript, type Reply, runCommand, runScript, type Script, text } from "./scripts.ts";
export { RedisLeafStore, type RedisLeafStoreOptions } from "./store.ts";
