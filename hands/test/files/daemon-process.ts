import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, onTestFinished } from "vitest";
import { HandsClient } from "../../client/client.ts";
import type { WorkspaceClient } from "../../client/types.ts";

const PROGRAM = join(import.meta.dirname, "../fixtures/serve-files.ts");

/** How a daemon is started. */
export interface DaemonOptions {
  /** Changes get no further than this step. Default: they do. */
  readonly step?: string;
  /** Directories that the kernel watches for it at most. Default: as many as for anybody. */
  readonly maxWatches?: number;
}

/** A daemon that was started. `line` waits for the next line that it prints. */
export interface DaemonProcess {
  kill(): Promise<void>;
  line(): Promise<string | undefined>;
}

/** A daemon's file side in a process of its own, that can be killed and started anew, and clients of it. */
export async function makeHands() {
  const base = await temporaryDirectory();
  const client = (epoch: bigint, patienceMs = 20_000): WorkspaceClient => {
    const hands = new HandsClient({ address: `unix:${join(base, "hands.sock")}`, patienceMs });
    onTestFinished(() => hands.close());
    return hands.workspace("acme/one", epoch);
  };
  return { client, start: (options: DaemonOptions = {}) => startDaemon(base, options) };
}

async function startDaemon(base: string, { step = "none", maxWatches }: DaemonOptions): Promise<DaemonProcess> {
  const command = [process.execPath, PROGRAM, base, step];
  // A user namespace has limits of its own.
  const limited = ["unshare", "-rU", "sh", "-c", 'echo "$1" > /proc/sys/user/max_inotify_watches && shift && exec "$@"', "sh"];
  const [program, ...args] = maxWatches === undefined ? command : [...limited, String(maxWatches), ...command];
  const child = spawn(program ?? "", args, { stdio: ["ignore", "pipe", "inherit"] });
  const closed = once(child, "close");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async (): Promise<string | undefined> => (await lines.next()).value;
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await closed;
  };
  onTestFinished(kill);
  expect(await line()).toBe("up");
  return { kill, line };
}
