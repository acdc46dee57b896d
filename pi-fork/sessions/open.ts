import { ConfigError } from "@serverless-harness/kit/env";
import { parseStoreUrl } from "@serverless-harness/session";
import type { PiSessions } from "./sessions.ts";
import { SqlitePiSessions } from "./sqlite.ts";

/** Open Pi's sessions in the leaf store at an address. Throws a ConfigError as `openLeafStore` does. */
export function openPiSessions(storeUrl: string): PiSessions {
  const address = parseStoreUrl(storeUrl);
  if (address.kind === "redis") throw new ConfigError("Pi's sessions can't be kept in Redis: use sqlite:/absolute/path/leaf.db");
  return new SqlitePiSessions(address.path);
}
