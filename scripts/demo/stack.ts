import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../run.ts";

export const LEAF = join(ROOT, "clients", "cli", "bin", "leaf.mjs");

/** By which slirp4netns, a router with NAT, shows this machine to a network namespace. */
export const MACHINE = "10.0.2.2";

/**
 * Brains that let go of a long command sooner than by default, though not of one whose brains are killed: it lasts 6 s. The dispatcher may be
 * called by the name that this machine has in a network namespace.
 */
const DEMO_ENVIRONMENT = { BRAIN_SLEEP_AFTER_MS: "6500", DISPATCHER_ALLOWED_HOSTS: MACHINE, ...process.env };

/** What `leaf up --json` tells. */
export interface StackInfo {
  readonly dir: string;
  readonly url: string;
  readonly sandbox: "bwrap" | "process";
  readonly network: string;
  readonly model: string;
  readonly standIn: boolean;
  readonly processes: ReadonlyArray<{ readonly name: string; readonly pid: number; readonly address: string }>;
}

/** A stack of the demo's own: in a temporary directory, on a free port, so that it disturbs none that runs. */
export class DemoStack {
  readonly dir: string;

  constructor() {
    this.dir = mkdtempSync(join(tmpdir(), "leaf-demo-"));
  }

  /** Start it; `options` go to `leaf up`. Throws with its message if it refuses. */
  async up(options: readonly string[]): Promise<StackInfo> {
    return JSON.parse(await runLeaf(this.dir, "up", "--port", "0", "--json", ...options)) as StackInfo;
  }

  /** The last lines of its logs. */
  async logs(): Promise<string> {
    return await runLeaf(this.dir, "logs", "--lines", "15").catch((error: unknown) => String(error));
  }

  /** Stop every process of it and remove its directory. */
  async remove(): Promise<void> {
    await runLeaf(this.dir, "down", "--json");
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Run a command of `leaf` on the stack in a directory; what it writes. Rejects with its message if it fails. */
export function runLeaf(dir: string, command: string, ...options: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [LEAF, command, "--dir", dir, ...options], { cwd: ROOT, env: DEMO_ENVIRONMENT }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(messageIn(stderr) || error.message));
    });
  });
}

/** The message of the CLI's error document. */
function messageIn(stderr: string): string {
  try {
    return (JSON.parse(stderr) as { error: { message: string } }).error.message;
  } catch {
    return stderr.trim();
  }
}
