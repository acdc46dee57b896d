import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { residentBytes } from "@serverless-harness/kit/proc";

const LOOK_MS = 100;

/** What a process takes, in millions of bytes. */
export interface Memory {
  /** What is resident of it, shared pages in full. */
  readonly rss: number;
  /** The same with each shared page divided by those who share it. */
  readonly pss: number;
}

/** A process's memory, looked at so many times, a tenth of a second apart. */
export async function watchMemory(pid: number, times: number): Promise<Memory[]> {
  const seen: Memory[] = [];
  for (let i = 0; i < times; i++) {
    seen.push(memoryOf(pid));
    await sleep(LOOK_MS);
  }
  return seen;
}

/** Throws where there is no such process. */
export function memoryOf(pid: number): Memory {
  const pss = /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1];
  return { rss: residentBytes(pid) / 1e6, pss: (Number(pss) * 1024) / 1e6 };
}
