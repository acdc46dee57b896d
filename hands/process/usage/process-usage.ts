import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

/** A process, how many threads it has, and the memory that it holds, in bytes; what it shares with others counts for each. */
export interface ProcessUsage {
  readonly pid: number;
  readonly parent: number;
  readonly threads: number;
  readonly residentBytes: number;
}

let pageBytes: number | undefined;

/** All living processes, by their id. */
export function readProcesses(): Map<number, ProcessUsage> {
  pageBytes ??= Number(execFileSync("getconf", ["PAGESIZE"], { encoding: "utf8" }));
  const processes = new Map<number, ProcessUsage>();
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const text = readText(`/proc/${pid}/stat`);
    // The fields after the name, which is in parentheses and may hold any character: state, parent, ...
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    if (fields.length <= 21) continue;
    const [parent, threads, pages] = [fields[1], fields[17], fields[21]].map(Number) as [number, number, number];
    processes.set(pid, { pid, parent, threads, residentBytes: pages * pageBytes });
  }
  return processes;
}

/** The processes below these. */
export function processesBelow(roots: readonly number[], all: ReadonlyMap<number, ProcessUsage>): ProcessUsage[] {
  const children = Map.groupBy(all.values(), ({ parent }) => parent);
  const below: ProcessUsage[] = [];
  const queue = [...roots];
  for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
    for (const child of children.get(pid) ?? []) {
      below.push(child);
      queue.push(child.pid);
    }
  }
  return below;
}

/** The memory of a process with its share only of what it shares, in bytes; `undefined` if that is not to be known. It takes a moment. */
export function proportionalBytes(pid: number): number | undefined {
  const kilobytes = /^Pss:\s+(\d+) kB$/m.exec(readText(`/proc/${pid}/smaps_rollup`))?.[1];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
}

/** Empty if the process is gone, or nobody's to look at. */
function readText(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
