import { loadScript, type Script } from "./scripts.ts";

const DIRECTORY = new URL("scripts/", import.meta.url);

/** Scripts of a partition by their names here and their files; each file says what its arguments are. */
const PARTITION = {
  append: "append",
  backlog: "backlog",
  events: "events",
  finish: "finish",
  forget: "forget",
  get: "get",
  heartbeat: "heartbeat",
  inspect: "inspect",
  list: "list",
  release: "release",
  releaseWorker: "release-worker",
  retry: "retry",
  submit: "submit",
} as const;

/** Scripts of the index of tenants, and those that go from there to a partition. */
const INDEX = { look: "look", pick: "pick", tell: "tell" } as const;

export type PartitionScript = keyof typeof PARTITION | "claimFrom";
export type IndexScript = keyof typeof INDEX | "claim";

/** The scripts of a store. */
export interface StoreScripts {
  readonly partition: Readonly<Record<PartitionScript, Script>>;
  readonly index: Readonly<Record<IndexScript, Script>>;
}

/** Scripts of idempotency keys, which stand outside of partitions. */
export const RESERVE = loadScript(DIRECTORY, "reserve");
export const UNRESERVE = loadScript(DIRECTORY, "unreserve");

/** What a script of a partition needs to append events to a leaf's log. */
export const LOG = ["clock", "names", "log"].reduce((above, name) => loadScript(DIRECTORY, name, above).lua, "");

const loaded = new Map<boolean, StoreScripts>();

/**
 * The scripts of a store. `together`: it is on one node, where a script of a partition reaches the index itself; on a cluster it returns what
 * the index has to be told.
 */
export function programs(together: boolean): StoreScripts {
  const known = loaded.get(together) ?? load(together);
  loaded.set(together, known);
  return known;
}

function load(together: boolean): StoreScripts {
  const header = `local TOGETHER = ${together}\n`;
  const lib = ["clock", "names", "log", "index", "queue", "lib"].reduce((above, name) => loadScript(DIRECTORY, name, above).lua, header);
  const take = loadScript(DIRECTORY, "take", lib).lua;
  const each = <Name extends string>(files: Readonly<Record<Name, string>>): Record<Name, Script> =>
    Object.fromEntries(Object.entries<string>(files).map(([name, file]) => [name, loadScript(DIRECTORY, file, lib)])) as Record<
      Name,
      Script
    >;
  return {
    partition: { ...each(PARTITION), claimFrom: loadScript(DIRECTORY, "claim-from", take) },
    index: { ...each(INDEX), claim: loadScript(DIRECTORY, "claim", take) },
  };
}
