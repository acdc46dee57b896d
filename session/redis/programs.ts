import { linked } from "./link.ts";
import { loadScript, type Script, scriptOf } from "./scripts.ts";

const DIRECTORY = new URL("scripts/", import.meta.url);

/** Scripts of a partition by their names here and their files; each file says what its arguments are. */
const PARTITION = {
  account: "account",
  append: "append",
  backlog: "backlog",
  bury: "bury",
  cancel: "cancel",
  claimNotices: "claim-notices",
  deadNotice: "dead-notice",
  deadNotices: "dead-notices",
  decide: "decide",
  delivered: "delivered",
  endOverdue: "end-overdue",
  events: "events",
  filesDue: "files-due",
  filesPutOff: "files-put-off",
  filesWritten: "files-written",
  finish: "finish",
  forget: "forget",
  get: "get",
  heartbeat: "heartbeat",
  idleSessions: "idle-sessions",
  inspect: "inspect",
  list: "list",
  nextNotice: "next-notice",
  openGate: "open-gate",
  redrive: "redrive",
  removeSession: "remove-session",
  releaseWorker: "release-worker",
  retry: "retry",
  send: "send",
  settleNotice: "settle-notice",
  submit: "submit",
  suspend: "suspend",
  sweep: "sweep",
  tombstone: "tombstone",
  wake: "wake",
} as const;

/** Scripts of the index of tenants, and those that go from there to a partition. */
const INDEX = { capped: "capped", getTenant: "get-tenant", look: "look", pick: "pick", setTenant: "set-tenant", tell: "tell" } as const;

/** Scripts of schedules. */
const SCHEDULES = {
  clock: "schedule-clock",
  create: "schedule-create",
  delete: "schedule-delete",
  due: "schedule-due",
  get: "schedule-get",
  list: "schedule-list",
  replace: "schedule-replace",
} as const;

/** Scripts of tokens. */
const TOKENS = { add: "token-add", list: "token-list", revoke: "token-revoke", revoked: "token-revoked" } as const;

/** Scripts of the pool of sandboxes. */
const SANDBOXES = {
  drain: "sandbox-drain",
  forget: "sandbox-forget",
  hold: "sandbox-hold",
  idle: "sandbox-idle",
  list: "sandbox-list",
  place: "sandbox-place",
  remove: "sandbox-remove",
  report: "sandbox-report",
} as const;

export type PartitionScript = keyof typeof PARTITION | "claimFrom";
export type IndexScript = keyof typeof INDEX | "claim";

export type ScheduleScript = keyof typeof SCHEDULES;
export type TokenScript = keyof typeof TOKENS;
export type SandboxScript = keyof typeof SANDBOXES;

/** The scripts of a store. */
export interface StoreScripts {
  readonly partition: Readonly<Record<PartitionScript, Script>>;
  readonly index: Readonly<Record<IndexScript, Script>>;
  readonly schedules: Readonly<Record<ScheduleScript, Script>>;
  readonly tokens: Readonly<Record<TokenScript, Script>>;
  readonly sandboxes: Readonly<Record<SandboxScript, Script>>;
}

/** Scripts of idempotency keys, which stand outside of partitions. */
export const RESERVE = loadScript(DIRECTORY, "reserve");
export const UNRESERVE = loadScript(DIRECTORY, "unreserve");

/** Scripts of duties, which stand outside of partitions as well. */
export const TAKE_DUTY = loadScript(DIRECTORY, "take-duty", chain(["clock"]));
export const LEAVE_DUTY = loadScript(DIRECTORY, "leave-duty");

/** What a script of a partition needs to append events to a leaf's log. */
export const LOG = chain(["clock", "names", "log"]);

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
  const lib = chain(["clock", "names", "log", "index", "queue", "proto", "lib", "notices"], header);
  const take = chain(["take"], lib);
  return {
    partition: { ...each(PARTITION, lib), ...each({ claimFrom: "claim-from" }, take) },
    index: { ...each(INDEX, lib), ...each({ claim: "claim" }, take) },
    schedules: each(SCHEDULES, chain(["clock", "names", "schedules"], header)),
    tokens: each(TOKENS, chain(["clock", "names", "tokens"], header)),
    sandboxes: each(SANDBOXES, chain(["clock", "names", "sandboxes"], header)),
  };
}

/** Programs, one behind the other. */
function chain(names: readonly string[], header = ""): string {
  return names.reduce((above, name) => loadScript(DIRECTORY, name, above).lua, header);
}

function each<Name extends string>(files: Readonly<Record<Name, string>>, lib: string): Record<Name, Script> {
  const scripts = Object.entries<string>(files).map(([name, file]) => [name, scriptOf(linked(lib, loadScript(DIRECTORY, file).lua))]);
  return Object.fromEntries(scripts) as Record<Name, Script>;
}
