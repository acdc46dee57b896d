import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { allPids, childrenByParent, commandLine, isSameProcess, processStartTicks, residentBytes } from "@serverless-harness/kit/proc";
import { SERVICES, type StackPaths } from "./paths.ts";
import { isSandbox, knownServices } from "./pool.ts";
import { liveRecord, servicePid } from "./record.ts";
import { WATCHER } from "./watch.ts";

/**
 * Variable that marks every process of a stack with its state directory. Brains inherit it from the dispatcher, so
 * `leaf` finds them even if the dispatcher was killed.
 */
export const STACK_MARK = "LEAF_STACK";

/** Ticks of /proc's times per second: USER_HZ, 100 on every platform of Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** Part of a process that carries the mark, although no part of the stack is known to have started it. */
export const UNKNOWN_PART = "unknown";

/** Parts that have a program. */
const PROGRAMS: ReadonlySet<string> = new Set([...SERVICES, "brain"]);

/** A process that belongs to a stack. */
export interface StackProcess {
  readonly pid: number;
  readonly startTicks: string;
  /** The part that it belongs to: `hands` or another sandbox, `model`, `dispatcher` or `brain`. */
  readonly part: string;
  /** It runs the part's own program; false for the jail around that program, and for commands in it. */
  readonly main: boolean;
  /** It starts the part again when that dies. */
  readonly watches: boolean;
  readonly args: readonly string[];
  /** Processes of the stack above it, the nearest last. */
  readonly ancestors: readonly number[];
  readonly memoryBytes: number;
  readonly uptimeMs: number;
}

/** Every living process of a stack, from the operating system: services, brains, and all their descendants. */
export function stackProcesses(paths: StackPaths): StackProcess[] {
  const found = new Map<number, StackProcess>();
  const children = childrenByParent();
  const visit = (pid: number, inherited: string, above?: StackProcess, mainPart?: string): void => {
    if (found.has(pid)) return;
    const startTicks = processStartTicks(pid);
    if (startTicks === undefined || !isSameProcess(pid, startTicks)) return;
    const args = commandLine(pid);
    const program = programOf(args);
    const main = program !== undefined && isPartBelow(program, mainPart);
    // All sandboxes are of one program.
    const own = program === "hands" && isSandbox(inherited) ? inherited : program;
    const process: StackProcess = {
      pid,
      startTicks,
      part: main ? (own ?? program) : inherited,
      main,
      watches: basename(args[0] ?? "") === WATCHER,
      args,
      ancestors: above === undefined ? [] : [...above.ancestors, above.pid],
      memoryBytes: residentBytes(pid),
      uptimeMs: uptimeMs(startTicks),
    };
    found.set(pid, process);
    for (const child of children.get(pid) ?? []) visit(child, process.part, process, main ? program : mainPart);
  };
  for (const name of knownServices(paths)) {
    const record = liveRecord(paths, name);
    if (record === undefined) continue;
    visit(record.pid, name);
    // A service whose watcher was killed has no parent here.
    visit(servicePid(paths, record) ?? record.pid, name);
  }
  for (const pid of markedProcesses(paths.dir)) visit(pid, UNKNOWN_PART);
  return [...found.values()];
}

/** The process still lives. */
export function isRunning({ pid, startTicks }: Pick<StackProcess, "pid" | "startTicks">): boolean {
  return isSameProcess(pid, startTicks);
}

/** Signal exactly the process that was found; it may have ended meanwhile. */
export function signalProcess(target: Pick<StackProcess, "pid" | "startTicks">, name: NodeJS.Signals): void {
  if (!isRunning(target)) return;
  try {
    process.kill(target.pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** A name for a list: the part, and the program if it is not the part's own. */
export function processLabel({ part, main, args }: StackProcess): string {
  return main ? part : `${part}: ${basename(args[0] ?? "?")}`;
}

/** The part whose main file a command line runs, from its sources or from its bundle. */
function programOf(args: readonly string[]): string | undefined {
  const [program = "", ...rest] = args;
  if (!basename(program).startsWith("node")) return undefined;
  const script = rest.find((arg) => !arg.startsWith("-")) ?? "";
  const name = /(?:^|\/)(\w+)\/main\.(?:ts|mjs)$/.exec(script)?.[1] ?? "";
  return PROGRAMS.has(name) ? name : undefined;
}

/**
 * A program of this name, found below the program of the part `above`, is a part of its own. Of the parts only the dispatcher
 * starts others, its brains. Any other process below a part's program belongs to that part, whatever its command line says: it may be a
 * command of a user who works on this project, or a process that was just forked and still has its parent's.
 */
function isPartBelow(program: string, above: string | undefined): boolean {
  return above === undefined || (above === "dispatcher" && program === "brain");
}

/** Processes whose command line has this text. */
export function processesNaming(text: string): number[] {
  return allPids().filter((pid) => commandLine(pid).some((arg) => arg.includes(text)));
}

/** Processes of this user whose environment carries the mark of this stack. */
function markedProcesses(dir: string): number[] {
  const mark = `${STACK_MARK}=${dir}`;
  return allPids().filter((pid) => pid !== process.pid && environmentOf(pid).includes(mark));
}

function environmentOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
  } catch {
    return [];
  }
}

function uptimeMs(startTicks: string): number {
  const bootSeconds = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
  return Math.max(0, Math.round((bootSeconds - Number(startTicks) / TICKS_PER_SECOND) * 1000));
}
