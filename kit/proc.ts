import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/**
 * When a process started, in clock ticks since boot (field 22 of /proc/PID/stat). Together with the pid it names a process
 * for good: a pid alone is reused. `undefined` if there is no such process or no /proc.
 */
export function processStartTicks(pid: number): string | undefined {
  return statOf(pid)?.startTicks;
}

/** The process still runs: same pid, same start, and not a zombie. */
export function isSameProcess(pid: number, startTicks: string): boolean {
  const stat = statOf(pid);
  return stat?.startTicks === startTicks && stat.state !== "Z" && stat.state !== "X";
}

/** The processes that there are. */
export function allPids(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** The children of every process. A process that lives throughout the call, with the same parent, is in it. */
export function childrenByParent(): ReadonlyMap<number, readonly number[]> {
  return Map.groupBy(allPids(), (pid) => statOf(pid)?.parent ?? 0);
}

/**
 * Direct children of a process, in no order. The kernel's list may leave some out if others end while it is read: use
 * {@link childrenByParent} if none may be missed. Needs CONFIG_PROC_CHILDREN, which distributions set.
 */
export function childrenOf(pid: number): number[] {
  const text = read(`/proc/${pid}/task/${pid}/children`) ?? "";
  return text.split(" ").filter(Boolean).map(Number);
}

/** The pid namespace of a process, as `pid:[4026531836]`. Empty if it can't be read. */
export function pidNamespace(pid: number | "self" = "self"): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return "";
  }
}

/** Resident memory of a process in bytes; 0 if it can't be read. */
export function residentBytes(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`) ?? "");
  return Number(line?.[1] ?? 0) * 1024;
}

/** A process's arguments. Empty if it is gone. */
export function commandLine(pid: number): string[] {
  return (read(`/proc/${pid}/cmdline`) ?? "").split("\0").slice(0, -1);
}

function statOf(pid: number): { readonly state: string; readonly parent: number; readonly startTicks: string | undefined } | undefined {
  const stat = read(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The command's name is in parentheses and may hold spaces and parentheses itself.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { state: fields[0] ?? "", parent: Number(fields[1]), startTicks: fields[19] };
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
