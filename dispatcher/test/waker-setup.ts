import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { LeafStore } from "@serverless-harness/session";
import { expect, onTestFinished, vi } from "vitest";
import { openBrainLog } from "../waker/brain-log.ts";
import { LocalWaker, type LocalWakerOptions } from "../waker/local.ts";
import { newLeaf, newStore, SCRIPTED_BRAIN, SILENT } from "./support.ts";

type Setup = Partial<Pick<LocalWakerOptions, "restart" | "graceMs">> & {
  env?: Record<string, string>;
  command?: [string, ...string[]];
  /** A store that is open already. */
  on?: Awaited<ReturnType<typeof newStore>>;
};

/** A waker that starts scripted brains; they find the test's directory in `DIRECTORY`. */
export async function openWaker({ env = {}, command = [process.execPath, SCRIPTED_BRAIN], on, ...options }: Setup = {}) {
  const opened = on ?? (await newStore());
  const { store, url, directory } = opened;
  const logFile = join(directory, "brain.log");
  const brainLog = openBrainLog({ path: logFile, maxBytes: 1_000_000 });
  const brain = { command, env: { ...process.env, LEAF_STORE: url, DIRECTORY: directory, ...env } };
  const waker = new LocalWaker({ store, log: SILENT, brain, brainLog, ...options });
  onTestFinished(async () => {
    await waker.stop();
    brainLog.close();
  });
  const logged = async (): Promise<Array<Record<string, unknown>>> => {
    const lines = (await readFile(logFile, "utf8")).split("\n");
    expect(lines.pop()).toBe("");
    return lines.map((line) => JSON.parse(line));
  };
  return { opened, store, waker, directory, logged };
}

/** A brain that waits the longest back-off: an hour. */
export const AN_HOUR = { baseMs: 3_600_000, maxMs: 3_600_000, random: () => 1 };

export async function submit(store: LeafStore, prompt: string): Promise<string> {
  return (await store.submit(newLeaf({ prompt }))).leaf.leafId;
}

export function counts({ brainsStarted, brainsCrashed, brains }: ReturnType<LocalWaker["status"]>) {
  return { brainsStarted, brainsCrashed, live: brains.length };
}

/** Wait until no brain lives. */
export async function untilNone(waker: LocalWaker): Promise<void> {
  await vi.waitFor(() => expect(waker.status().brains).toEqual([]), { timeout: 20_000, interval: 10 });
}
