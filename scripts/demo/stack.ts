import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../run.ts";

const LEAF = join(ROOT, "clients", "cli", "bin", "leaf.mjs");

/** Brains that let go of a long command sooner than by default, though not of one whose brains are killed: it lasts 6 s. */
const DEMO_ENVIRONMENT = { BRAIN_SLEEP_AFTER_MS: "6500", ...process.env };

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
    return JSON.parse(await this.#leaf("up", "--port", "0", "--json", ...options)) as StackInfo;
  }

  /** The last lines of its logs. */
  async logs(): Promise<string> {
    return await this.#leaf("logs", "--lines", "15").catch((error: unknown) => String(error));
  }

  /** Stop every process of it and remove its directory. */
  async remove(): Promise<void> {
    await this.#leaf("down", "--json");
    rmSync(this.dir, { recursive: true, force: true });
  }

  #leaf(command: string, ...options: readonly string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      execFile(
        process.execPath,
        [LEAF, command, "--dir", this.dir, ...options],
        { cwd: ROOT, env: DEMO_ENVIRONMENT },
        (error, stdout, stderr) => {
          if (error === null) resolve(stdout);
          else reject(new Error(messageIn(stderr) || error.message));
        },
      );
    });
  }
}

/** The message of the CLI's error document. */
function messageIn(stderr: string): string {
  try {
    return (JSON.parse(stderr) as { error: { message: string } }).error.message;
  } catch {
    return stderr.trim();
  }
}
