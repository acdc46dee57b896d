import { execFile } from "node:child_process";
import { statfsSync } from "node:fs";
import type { Logger } from "@serverless-harness/kit/log";

/** How often disks are looked at, in milliseconds; and how much longer than the last look took. */
const INTERVAL_MS = 2000;
const SHARE_OF_TIME = 20;
/** When a workspace is measured again though its file system did not grow enough: others may have made room on it. */
const LONGEST_MS = 60_000;

/** What a {@link DiskMeter} looks at. */
export interface DiskMeterOptions {
  /** What a workspace may have on disk, in bytes. */
  readonly limitBytes: number;
  /** Workspaces in which something may be running. */
  readonly live: () => Iterable<string>;
  /** Where a workspace's commands may write, all on one file system. */
  readonly directories: (name: string) => readonly string[];
  /** A workspace has more than it may, and more than when it was measured last. */
  readonly onExceeded: (name: string, usedBytes: number) => void;
  readonly log: Logger;
}

interface Measured {
  readonly bytes: number;
  /** What was used of the file system. */
  readonly systemBytes: number;
  readonly at: number;
}

/**
 * Bounds what workspaces have on disk: measures those in which something runs, as often as their file system has
 * grown by what they had left. Commands that make room are never exceeding anything, so a full workspace can be
 * tidied up.
 */
export class DiskMeter {
  readonly #options: DiskMeterOptions;
  readonly #measured = new Map<string, Measured>();
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: DiskMeterOptions) {
    this.#options = options;
    this.#lookIn(INTERVAL_MS);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  #lookIn(delayMs: number): void {
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => void this.#look(), delayMs).unref();
  }

  async #look(): Promise<void> {
    const began = performance.now();
    const live = new Set(this.#options.live());
    for (const name of this.#measured.keys()) if (!live.has(name)) this.#measured.delete(name);
    for (const name of live) {
      try {
        await this.#measure(name);
      } catch (error) {
        this.#options.log.warn(
          { workspace: name, err: error },
          "what a workspace has on disk can't be measured: HANDS_DISK_BYTES does not hold for it",
        );
      }
    }
    this.#lookIn(Math.max(INTERVAL_MS, SHARE_OF_TIME * (performance.now() - began)));
  }

  async #measure(name: string): Promise<void> {
    const { limitBytes, onExceeded } = this.#options;
    const directories = this.#options.directories(name);
    const systemBytes = usedBytes(directories[0] ?? "/");
    const last = this.#measured.get(name);
    const at = performance.now();
    if (last !== undefined && at - last.at < LONGEST_MS && last.bytes + Math.max(0, systemBytes - last.systemBytes) <= limitBytes) return;
    const bytes = await treeBytes(directories);
    this.#measured.set(name, { bytes, systemBytes, at });
    if (bytes > limitBytes && bytes > (last?.bytes ?? limitBytes)) onExceeded(name, bytes);
  }
}

function usedBytes(path: string): number {
  const { blocks, bfree, bsize } = statfsSync(path);
  return (blocks - bfree) * bsize;
}

/** What these trees take on their disk. Files that vanish meanwhile count for nothing. */
function treeBytes(directories: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const args = ["-n", "10", "du", "--summarize", "--one-file-system", "--block-size=1", "--", ...directories];
    execFile("nice", args, { env: { PATH: "/usr/bin:/bin", LC_ALL: "C" } }, (error, stdout, stderr) => {
      const sizes = [...stdout.matchAll(/^(\d+)\t/gm)].map((match) => Number(match[1]));
      if (sizes.length === 0) reject(error ?? new Error(stderr));
      else resolve(sizes.reduce((total, size) => total + size, 0));
    });
  });
}
