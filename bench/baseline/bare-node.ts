import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { childEnvironment } from "../config.ts";
import type { Job, JobResult } from "./job.ts";

const SCRIPT = fileURLToPath(new URL("bare-node.mjs", import.meta.url));
/** Above this the process is no longer a fair baseline. */
const MAX_RSS_BYTES = 60e6;

/** A bare Node process that runs baselines. */
export class BareNode {
  readonly #child: ChildProcess;

  constructor() {
    this.#child = fork(SCRIPT, { env: childEnvironment(), execArgv: [] });
  }

  /** Run one job; one at a time. Throws where it failed, or the process ended. */
  async run(job: Job): Promise<readonly number[]> {
    const gone = new AbortController();
    const ended = once(this.#child, "exit", { signal: gone.signal }).then(
      ([code]): JobResult => ({ error: `the process ended with ${code}` }),
    );
    const answered = once(this.#child, "message", { signal: gone.signal }).then(([message]): JobResult => message);
    try {
      this.#child.send(job);
      const result = await Promise.race([answered, ended]);
      if ("error" in result) throw new Error(`baseline ${job.kind}: ${result.error}`);
      return result.samples;
    } finally {
      gone.abort();
      await Promise.allSettled([ended, answered]);
    }
  }

  /** Resident memory in bytes. Throws where it is too large for a fair baseline of spawning. */
  async fairSize(): Promise<number> {
    const [bytes = 0] = await this.run({ kind: "memory" });
    if (bytes <= MAX_RSS_BYTES) return bytes;
    throw new Error(`the bare Node process has ${bytes} bytes: a larger one spawns slower, that would be no fair baseline`);
  }

  /** End it. */
  async close(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.disconnect();
    await exited;
  }
}
