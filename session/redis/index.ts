export { parseStoreUrl, type RedisAddress } from "../store-url.ts";
export { Database } from "./database.ts";
export { RedisLeafStore, type RedisLeafStoreOptions } from "./store.ts";
