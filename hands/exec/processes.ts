import { readdirSync, readFileSync } from "node:fs";
import { pidNamespace, processStartTicks } from "@serverless-harness/kit/proc";
import type { ProcessIdentity } from "../journal/record.ts";

/** Variable in the environment of commands that tells which exec they belong to. */
export const EXEC_VARIABLE = "HANDS_EXEC";

/** Times that a tree is searched again for what forked meanwhile. */
const MAX_PASSES = 20;

/** Names a process so that it is found after a restart of the daemon. */
export function identify(pid: number): ProcessIdentity {
  return { pid, startTicks: processStartTicks(pid) ?? "", world: currentWorld() };
}

let world: string | undefined;

/** Where pids and start times mean what they mean here: this boot, this pid namespace. */
export function currentWorld(): string {
  world ??= `${readText("/proc/sys/kernel/random/boot_id").trim()} ${pidNamespace()}`;
  return world;
}

/**
 * Send a signal to a process that was started with a session of its own, and to its descendants: those in its session or group, those
 * below it, and those that carry `mark` in their environment. A process that sheds all of that escapes. SIGKILL is repeated until nobody
 * is left. Returns how many got it.
 */
export function signalTree(leader: ProcessIdentity, mark: string | undefined, signal: NodeJS.Signals): number {
  let signalled = 0;
  for (let pass = 0; pass < MAX_PASSES; pass++) {
    const members = treeOf(leader, mark);
    for (const pid of members) if (send(pid, signal)) signalled++;
    if (signal !== "SIGKILL" || members.length === 0) break;
  }
  return signalled;
}

/** Kill whoever carries `mark` in its environment, until nobody is left. */
export function killMarked(mark: string): void {
  for (let pass = 0; pass < MAX_PASSES; pass++) {
    const marked = livingProcesses().filter(({ pid }) => environmentHas(pid, mark));
    if (marked.length === 0) return;
    for (const { pid } of marked) send(pid, "SIGKILL");
  }
}

interface Stat {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  readonly startTicks: string;
}

/** Living processes of a tree, the leader first. */
function treeOf(leader: ProcessIdentity, mark: string | undefined): number[] {
  const all = new Map(livingProcesses().map((stat) => [stat.pid, stat]));
  const holder = all.get(leader.pid);
  // Somebody else has the leader's pid: nothing of its session is left, only the mark can tell who belongs to it.
  const reused = holder !== undefined && holder.startTicks !== leader.startTicks;
  const isMember = (stat: Stat): boolean => {
    if (!reused && (stat.session === leader.pid || stat.group === leader.pid || descends(stat, leader.pid, all))) return true;
    return mark !== undefined && environmentHas(stat.pid, mark);
  };
  return [...all.values()].filter(isMember).map(({ pid }) => pid);
}

function descends(stat: Stat, ancestor: number, all: ReadonlyMap<number, Stat>): boolean {
  for (let at: Stat | undefined = stat, depth = 0; at !== undefined && depth < 1000; at = all.get(at.parent), depth++) {
    if (at.pid === ancestor) return true;
  }
  return false;
}

function livingProcesses(): Stat[] {
  const stats: Stat[] = [];
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const text = readText(`/proc/${pid}/stat`);
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const [state, parent, group, session] = fields;
    if (state === undefined || state === "" || state === "Z" || state === "X") continue;
    stats.push({ pid, parent: Number(parent), group: Number(group), session: Number(session), startTicks: fields[19] ?? "" });
  }
  return stats;
}

function environmentHas(pid: number, mark: string): boolean {
  return readText(`/proc/${pid}/environ`).split("\0").includes(mark);
}

function send(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
