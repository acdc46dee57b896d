import { loadScript, type Script } from "./link.ts";

/** Scripts of a partition; the files in `scripts/` have these names with hyphens, and say what their arguments are. */
const PARTITION = [
  "account",
  "append",
  "backlog",
  "bury",
  "cancel",
  "claimFrom",
  "claimNotices",
  "deadNotice",
  "deadNotices",
  "decide",
  "delivered",
  "endOverdue",
  "events",
  "filesDue",
  "filesPutOff",
  "filesWritten",
  "finish",
  "forget",
  "get",
  "heartbeat",
  "idleSessions",
  "inspect",
  "list",
  "nextNotice",
  "openGate",
  "redrive",
  "releaseWorker",
  "removeSession",
  "retry",
  "rouse",
  "send",
  "settleNotice",
  "submit",
  "suspend",
  "sweep",
  "tombstone",
  "wake",
] as const;

/** Scripts of the index of tenants, and those that go from there to a partition. */
const INDEX = ["canClaim", "capped", "claim", "getTenant", "pick", "setTenant", "tell"] as const;

const SCHEDULES = [
  "scheduleClock",
  "scheduleCreate",
  "scheduleDelete",
  "scheduleDue",
  "scheduleGet",
  "scheduleList",
  "scheduleReplace",
] as const;
const SANDBOXES = [
  "sandboxDrain",
  "sandboxElsewhere",
  "sandboxForget",
  "sandboxHold",
  "sandboxList",
  "sandboxPlace",
  "sandboxRemove",
  "sandboxReport",
  "sandboxSessions",
  "sandboxSettle",
  "sandboxVacate",
  "sandboxWhere",
] as const;
const TOKENS = ["tokenAdd", "tokenList", "tokenRevoke", "tokenRevoked"] as const;

export type PartitionScript = (typeof PARTITION)[number];
export type IndexScript = (typeof INDEX)[number];
export type ScheduleScript = (typeof SCHEDULES)[number];
export type SandboxScript = (typeof SANDBOXES)[number];
export type TokenScript = (typeof TOKENS)[number];

/** The scripts of a store. */
export type StoreScripts = Readonly<Record<PartitionScript | IndexScript | ScheduleScript | SandboxScript | TokenScript, Script>>;

/** Scripts of idempotency keys and of duties, each of which is in a slot of its own. */
export const RESERVE = loadScript("reserve");
export const UNRESERVE = loadScript("unreserve");
export const TAKE_DUTY = loadScript("take-duty");
export const LEAVE_DUTY = loadScript("leave-duty");

const loaded = new Map<boolean, StoreScripts>();

/**
 * The scripts of a store. `together`: it is on one node, so a script of a partition reaches the index itself; on a cluster it returns what
 * the index has to be told. Scripts read this as `TOGETHER`.
 */
export function programs(together: boolean): StoreScripts {
  const known = loaded.get(together) ?? load(together);
  loaded.set(together, known);
  return known;
}

function load(together: boolean): StoreScripts {
  const names = [...PARTITION, ...INDEX, ...SCHEDULES, ...SANDBOXES, ...TOKENS];
  const scripts = names.map((name) => [name, loadScript(fileOf(name), undefined, `local TOGETHER = ${together}`)]);
  return Object.fromEntries(scripts) as StoreScripts;
}

function fileOf(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
