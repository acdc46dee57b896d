import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Environment } from "../config.ts";
import { CliError, ExitCode } from "../errors.ts";
import type { StackPaths } from "./paths.ts";
import { liveRecord, readRecord } from "./record.ts";

/** Where a stack keeps leaves and sessions. */
export interface StorePlan {
  /** The leaf store's address, with its password if it has one. */
  readonly url: string;
  /** The same without the password, to be shown and stored. */
  readonly name: string;
}

const EMBEDDED = "embedded";

/**
 * Choose the store: `redis` (`--redis`), else `LEAF_REDIS`, else the database in the state directory. A stack keeps the store that it was
 * started with until `leaf down`. Its password is stored nowhere, so a new dispatcher needs a Redis address again.
 */
export function planStore(
  paths: StackPaths,
  environment: Environment,
  { redis, restart }: { readonly redis?: string; readonly restart?: boolean },
): StorePlan {
  const asked = redis ?? (environment["LEAF_REDIS"] || undefined);
  const before = readRecord(paths, "dispatcher")?.settings["store"] ?? EMBEDDED;
  if (asked !== undefined) return { url: withIdFile(asked, paths), name: redisName(asked) };
  const embedded = { url: `sqlite:${paths.database}`, name: EMBEDDED };
  if (before === EMBEDDED) return embedded;
  // The dispatcher runs and is not started again, so it needs no address.
  if (!restart && liveRecord(paths, "dispatcher") !== undefined) return { ...embedded, name: before };
  const message = `the stack's leaf store is ${before}: name it again with --redis or LEAF_REDIS, or \`leaf down\` first to leave it`;
  throw new CliError(ExitCode.usage, "store_needed", message);
}

/** A line for people. */
export function describeStore({ name }: StorePlan): string {
  return name === EMBEDDED ? "embedded (SQLite)" : name;
}

/** Have the dispatcher remember the store's identity in a file, one for each Redis: a stack may change from one to another. */
function withIdFile(address: string, paths: StackPaths): string {
  const url = URL.parse(address);
  if (url === null || url.searchParams.has("id_file")) return address;
  const digest = createHash("sha256").update(redisName(address)).digest("hex").slice(0, 16);
  url.searchParams.set("id_file", join(paths.dir, `redis-${digest}-id`));
  return url.href;
}

function redisName(address: string): string {
  const url = URL.parse(address);
  if (url === null || !/^rediss?:$/.test(url.protocol) || url.hostname === "") {
    throw new CliError(ExitCode.usage, "bad_redis", "--redis takes redis://[user:password@]host[:port][/db], or rediss: for TLS");
  }
  return `${url.protocol}//${url.host}${url.pathname}${url.search}`;
}
