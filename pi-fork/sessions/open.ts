import { parseStoreUrl } from "@serverless-harness/session";
import type { PiSessions } from "./contract/sessions.ts";
import { RedisPiSessions } from "./redis/sessions.ts";
import { SqlitePiSessions } from "./sqlite/sessions.ts";

/**
 * Open Pi's sessions in the leaf store at an address. Throws a ConfigError as `openLeafStore` does; what a Redis is
 * asked, it is asked when the first session is opened.
 */
export function openPiSessions(storeUrl: string): PiSessions {
  const address = parseStoreUrl(storeUrl);
  return address.kind === "redis" ? new RedisPiSessions(address.redis) : new SqlitePiSessions(address.path);
}
