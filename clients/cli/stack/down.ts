import { rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { CliError, ExitCode } from "../errors.ts";
import type { StackPaths } from "./paths.ts";
import { isSandbox, knownServices } from "./pool.ts";
import { isRunning, processLabel, type StackProcess, signalProcess, stackProcesses, UNKNOWN_PART } from "./processes.ts";
import { removeRecords } from "./record.ts";

/** How long the processes of a part may take to end by themselves. */
const GRACE_MS = 10_000;
/** How long the system may take to remove a process that was killed. */
const KILL_MS = 5000;
const POLL_MS = 20;

/** Stands for all sandboxes, which end at once. */
const SANDBOX = "sandbox";

/**
 * The order in which parts end: a part ends before those that it uses. The dispatcher itself asks its brains to end,
 * and they suspend their leaves. `leaf` asks them only if the dispatcher is gone: a second signal would end them at once.
 */
const ORDER = ["dispatcher", "brain", SANDBOX, "model", UNKNOWN_PART];

/** What `leaf down` did. */
export interface DownResult {
  /** Processes that were running. */
  readonly stopped: readonly StackProcess[];
  /** Those of them that did not end by themselves. */
  readonly killed: readonly StackProcess[];
  /** Why their run files could not be removed, as `EROFS`. */
  readonly uncleaned?: string;
}

/**
 * Stop every process of a stack and remove its run files. Some or all may be gone already. The caller holds the lock, if
 * it could get one.
 */
export async function stopStack(paths: StackPaths): Promise<DownResult> {
  const services = knownServices(paths);
  const result = await stopProcesses(paths, services);
  try {
    removeRecords(paths, services);
    for (const sandbox of services.filter(isSandbox)) rmSync(paths.sandbox(sandbox).socketDir, { recursive: true, force: true });
    return result;
  } catch (error) {
    return { ...result, uncleaned: (error as NodeJS.ErrnoException).code || String(error) };
  }
}

/** Stop these services, with everything that they started. Throws if a process survives even SIGKILL. */
export async function stopProcesses(paths: StackPaths, services: readonly string[]): Promise<DownResult> {
  const seen = new Map<string, StackProcess>();
  const killed: StackProcess[] = [];
  /** The living processes of the part in which each was first seen: one that has left its part's tree can't be found there again. */
  const members = (stage: string): StackProcess[] => {
    for (const process of stackProcesses(paths)) {
      if (services.includes(ownerOf(process.part)) && !seen.has(processKey(process))) seen.set(processKey(process), process);
    }
    return [...seen.values()].filter((process) => stageOf(process.part) === stage && isRunning(process));
  };
  for (const stage of ORDER) {
    const first = members(stage);
    // Before anything dies: its watcher would start it again.
    for (const process of first) if (process.watches) signalProcess(process, "SIGUSR1");
    for (const process of toAsk(first)) signalProcess(process, "SIGTERM");
    await waitUntilGone(() => members(stage), GRACE_MS);
    const stubborn = members(stage);
    for (const process of stubborn) signalProcess(process, "SIGKILL");
    killed.push(...stubborn);
    await waitUntilGone(() => stubborn.filter(isRunning), KILL_MS);
  }
  const left = [...seen.values()].filter(isRunning);
  if (left.length === 0) return { stopped: [...seen.values()], killed };
  throw new CliError(ExitCode.refused, "still_running", `could not end ${namesOf(left)}: end it by hand`);
}

/** Processes in a sentence. */
export function namesOf(processes: readonly StackProcess[]): string {
  return processes.map((process) => `${processLabel(process)} (pid ${process.pid})`).join(", ");
}

/** The step of {@link ORDER} in which a part ends. */
function stageOf(part: string): string {
  return isSandbox(part) ? SANDBOX : part;
}

/** The service with which a part ends. */
function ownerOf(part: string): string {
  return part === "brain" || part === UNKNOWN_PART ? "dispatcher" : part;
}

/**
 * Which processes to ask to end: a part's own programs, which end what they started. A jail that ended first would kill the program in
 * it, which could not end in order.
 */
function toAsk(processes: readonly StackProcess[]): readonly StackProcess[] {
  const mains = processes.filter(({ main }) => main);
  return mains.length === 0 ? processes : mains;
}

function processKey({ pid, startTicks }: StackProcess): string {
  return `${pid} ${startTicks}`;
}

async function waitUntilGone(living: () => readonly StackProcess[], timeoutMs: number): Promise<void> {
  for (const deadline = Date.now() + timeoutMs; living().length > 0 && Date.now() < deadline; ) await sleep(POLL_MS);
}
