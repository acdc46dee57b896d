import type { ChildProcess } from "node:child_process";
import { mkdir } from "node:fs/promises";

import { childrenOf, commandLine } from "@serverless-harness/kit/proc";
import { bundleOf } from "@serverless-harness/kit/testing/services";
import { announcedOrigin } from "./announced-origin.ts";
import { scratch, startProgram, stopProgram } from "./process.ts";

/** A daemon of the sandbox that runs as in production, on a Unix socket in a directory of its own. */
export interface Sandbox {
  /** `unix:/path`, for clients. */
  readonly address: string;
  /** The directory of the workspaces, as this process sees it. */
  readonly workspaces: string;
  /** The directory of everything that the daemon keeps, the workspaces included. */
  readonly directory: string;
  /** The process that was started; everything in the sandbox is below it. */
  readonly pid: number;
  /** The daemon's process: inside the jail where there is one. */
  daemonPid(): number;
  /** SIGTERM, then remove its directory. Throws what the daemon said where it did not end cleanly. */
  close(): Promise<void>;
}

/** Start hands; clients wait by themselves until it listens. `settings`: more of them; with one for HANDS_LISTEN its address is what hands says. */
export async function startSandbox(jail: boolean, settings: Readonly<Record<string, string>> = {}): Promise<Sandbox> {
  const directory = await scratch();
  const { path } = directory;
  for (const name of ["workspaces", "state", "run"]) await mkdir(path(name));
  const socket = `unix:${path("run", "hands.sock")}`;
  const child = startProgram(bundleOf("hands"), path("hands.log"), {
    HANDS_LISTEN: socket,
    HANDS_WORKSPACES: path("workspaces"),
    HANDS_STATE: path("state"),
    HANDS_SANDBOX: jail ? "bwrap" : "process",
    // The dispatcher of a run chooses its port.
    HANDS_NOTIFY_URL: "http://127.0.0.1:*/wake",
    LOG_LEVEL: settings["HANDS_LISTEN"] === undefined ? "warn" : "info",
    ...settings,
  });
  const { pid } = child;
  if (pid === undefined) throw new Error("hands could not be started");
  const lives = (): boolean => child.exitCode === null && child.signalCode === null;
  const address = settings["HANDS_LISTEN"] === undefined ? socket : await announcedOrigin(path("hands.log"), lives, "hands is up");
  if (address === undefined) {
    await stopProgram(child, path("hands.log"));
    throw new Error("hands told no address");
  }
  return {
    address,
    workspaces: path("workspaces"),
    directory: path(),
    pid,
    daemonPid: () => daemonBelow(child),
    close: async () => {
      await stopProgram(child, path("hands.log"));
      await directory.remove();
    },
  };
}

/** The process that runs the daemon's program: a jail around it runs another one. What the daemon has just forked has its command line, too. */
function daemonBelow({ pid }: ChildProcess): number {
  const pending = pid === undefined ? [] : [pid];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [program, ...args] = commandLine(next);
    if (program?.endsWith("node") === true && args.some((arg) => arg.endsWith("hands/main.mjs"))) return next;
    pending.push(...childrenOf(next));
  }
  if (pid === undefined) throw new Error("hands did not start");
  return pid;
}
