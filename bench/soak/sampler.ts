import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { childrenOf, residentBytes } from "@serverless-harness/kit/proc";
import type { Stack } from "../parts/stack.ts";

/** One look at everything that must not grow. */
export interface Sample {
  /** Milliseconds since the start of the soak. */
  readonly atMs: number;
  readonly values: Readonly<Record<Quantity, number>>;
}

/** What is sampled; the name ends in the unit. `store_mb` is the database with its log, or Redis' memory. */
export const QUANTITIES = [
  "dispatcher_rss_mb",
  "dispatcher_descriptors",
  "hands_rss_mb",
  "hands_descriptors",
  "model_rss_mb",
  "sandbox_processes",
  "brains",
  "store_mb",
  "sandbox_disk_mb",
  "log_disk_mb",
] as const;
export type Quantity = (typeof QUANTITIES)[number];

const SETTLED_MS = 100;
const run = promisify(execFile);

/** Looks at a stack, again and again. */
export class Sampler {
  readonly #stack: Stack;
  readonly #handsPid: number;
  readonly #storeBytes: () => Promise<number>;

  /** `storeBytes`: what the store takes. The stack has to have run a leaf, so that its daemon is there. */
  static async of(stack: Stack, storeBytes: () => Promise<number>): Promise<Sampler> {
    // A process that the daemon is just starting looks like the daemon until it runs its own program.
    let pid = stack.sandbox.daemonPid();
    for (let before = 0; before !== pid; ) {
      before = pid;
      await sleep(SETTLED_MS);
      pid = stack.sandbox.daemonPid();
    }
    return new Sampler(stack, pid, storeBytes);
  }

  private constructor(stack: Stack, handsPid: number, storeBytes: () => Promise<number>) {
    this.#stack = stack;
    this.#handsPid = handsPid;
    this.#storeBytes = storeBytes;
  }

  async look(atMs: number): Promise<Sample> {
    const [stack, hands] = [this.#stack, this.#handsPid];
    const [store, sandbox, stackDisk] = await Promise.all([
      this.#storeBytes(),
      diskBytes(stack.sandbox.directory),
      diskBytes(stack.directory),
    ]);
    const values: Sample["values"] = {
      dispatcher_rss_mb: residentBytes(stack.dispatcherPid) / 1e6,
      dispatcher_descriptors: descriptors(stack.dispatcherPid),
      hands_rss_mb: residentBytes(hands) / 1e6,
      hands_descriptors: descriptors(hands),
      model_rss_mb: residentBytes(stack.model.pid) / 1e6,
      sandbox_processes: below(stack.sandbox.pid),
      brains: childrenOf(stack.dispatcherPid).length,
      store_mb: store / 1e6,
      sandbox_disk_mb: sandbox / 1e6,
      log_disk_mb: (stackDisk - (stack.storeUrl.startsWith("sqlite:") ? store : 0)) / 1e6,
    };
    return { atMs, values };
  }
}

/** Bytes on the disk below a directory. Files that go meanwhile are not counted. */
export async function diskBytes(...paths: readonly string[]): Promise<number> {
  // `du` tells of files that vanish while it looks by its exit code, with its total all the same.
  const { stdout } = await run("du", ["-sck", ...paths]).catch((error: { stdout?: string }) => ({ stdout: error.stdout ?? "" }));
  const total = /^(\d+)\s+total$/m.exec(stdout)?.[1];
  if (total === undefined) throw new Error(`du tells no total for ${paths.join(", ")}`);
  return Number(total) * 1024;
}

function descriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** How many processes live below this one. */
function below(pid: number): number {
  return childrenOf(pid).reduce((count, child) => count + 1 + below(child), 0);
}
