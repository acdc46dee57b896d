import { readdirSync } from "node:fs";
import { pidNamespace, processStartTicks } from "@serverless-harness/kit/proc";
import { readText } from "./system-files.ts";

/** Names a process so that it is found again after a restart of the daemon and no other process is taken for it. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTicks: string;
  /** The pid namespace and the boot in which the other two mean something. */
  readonly world: string;
}

/** Variable in the environment of commands that tells which exec they belong to. */
export const EXEC_VARIABLE = "HANDS_EXEC";

/** Times that a tree is searched again for what forked meanwhile. */
const MAX_PASSES = 20;
/** Generations that a process is looked for among the descendants of another one. */
const MAX_DEPTH = 1000;

/** Name a process that runs now; `startTicks` is empty if there is none. */
export function identify(pid: number): ProcessIdentity {
  return { pid, startTicks: processStartTicks(pid) ?? "", world: currentWorld() };
}

let world: string | undefined;

/** Where pids and start times mean what they mean here: this boot, this pid namespace. */
export function currentWorld(): string {
  world ??= `${readText("/proc/sys/kernel/random/boot_id").trim()} ${pidNamespace()}`;
  return world;
}

/** {@link identify}, for a process that lives below `ancestor` by now: nobody's word is taken for whose it is. */
export function identifyBelow(pid: number, ancestor: number): ProcessIdentity | undefined {
  const identity = identify(pid);
  if (identity.startTicks === "") return undefined;
  for (let at = pid, depth = 0; at > 1 && depth < MAX_DEPTH; at = statOf(at)?.parent ?? 0, depth++) if (at === ancestor) return identity;
  return undefined;
}

/**
 * A process that was started with a session of its own, and its descendants: those in its session or group, those
 * below it, and those that carry `mark` in their environment. Whoever was found once is known from then on, and so is
 * what it starts. A process that sheds all of that before anybody looks escapes: nothing but the keeper keeps it.
 */
export class ProcessTree {
  readonly #leader: ProcessIdentity;
  readonly #mark: string | undefined;
  /** Start times of the members that were found, by pid. */
  readonly #known = new Map<number, string>();

  constructor(leader: ProcessIdentity, mark: string | undefined) {
    this.#leader = leader;
    this.#mark = mark;
    this.#known.set(leader.pid, leader.startTicks);
  }

  /** Signal every member. SIGKILL is repeated until nobody is left. Returns how many got it. */
  signal(name: NodeJS.Signals): number {
    let signalled = 0;
    for (let pass = 0; pass < MAX_PASSES; pass++) {
      const members = this.#members();
      for (const pid of members) if (send(pid, name)) signalled++;
      if (name !== "SIGKILL" || members.length === 0) break;
    }
    return signalled;
  }

  #members(): number[] {
    const all = new Map(livingProcesses().map((stat) => [stat.pid, stat]));
    for (const [pid, startTicks] of this.#known) {
      // Somebody else has the pid, or nobody. The leader's is kept: its session and group are known by it.
      if (all.get(pid)?.startTicks !== startTicks && pid !== this.#leader.pid) this.#known.delete(pid);
    }
    const { pid: leader, startTicks } = this.#leader;
    const holder = all.get(leader);
    const isReused = holder !== undefined && holder.startTicks !== startTicks;
    const isKnown = ({ pid, startTicks: started }: Stat): boolean => this.#known.get(pid) === started;
    const members = [...all.values()].filter((stat) => {
      if (!isReused && (stat.session === leader || stat.group === leader)) return true;
      return hasAncestor(stat, isKnown, all) || (this.#mark !== undefined && marksOf(stat.pid).includes(this.#mark));
    });
    for (const member of members) if (member.pid !== leader) this.#known.set(member.pid, member.startTicks);
    return members.map(({ pid }) => pid);
  }
}

/** Kill whoever carries one of these marks in its environment, until nobody is left. */
export function killMarked(marks: ReadonlySet<string>): void {
  for (let pass = 0; pass < MAX_PASSES && marks.size > 0; pass++) {
    const marked = livingProcesses().filter(({ pid }) => marksOf(pid).some((mark) => marks.has(mark)));
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

function hasAncestor(stat: Stat, isKnown: (stat: Stat) => boolean, all: ReadonlyMap<number, Stat>): boolean {
  for (let at: Stat | undefined = stat, depth = 0; at !== undefined && depth < MAX_DEPTH; at = all.get(at.parent), depth++) {
    if (isKnown(at)) return true;
  }
  return false;
}

function livingProcesses(): Stat[] {
  const pids = readdirSync("/proc").map(Number);
  return pids.flatMap((pid) => (Number.isInteger(pid) && pid !== process.pid ? (statOf(pid) ?? []) : []));
}

/** `undefined` if there is no such process, or it has ended. */
function statOf(pid: number): Stat | undefined {
  const text = readText(`/proc/${pid}/stat`);
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state, parent, group, session] = fields;
  if (state === undefined || state === "" || state === "X") return undefined;
  // A process whose first thread alone has ended looks like one that has ended itself, but lives.
  if (state === "Z" && Number(fields[17]) <= 1) return undefined;
  return { pid, parent: Number(parent), group: Number(group), session: Number(session), startTicks: fields[19] ?? "" };
}

/** The marks of execs in a process's environment. */
function marksOf(pid: number): string[] {
  const variables = readText(`/proc/${pid}/environ`).split("\0");
  return variables.filter((variable) => variable.startsWith(EXEC_VARIABLE));
}

function send(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}
