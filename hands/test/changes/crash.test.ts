import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { describe, expect, test } from "vitest";
import type { Step } from "../../changes/changes.ts";
import type { Durability } from "../../fs/durable.ts";
import { CRASHING_CALLS, openService, snapshot, workspaceOf } from "./crashing-calls.ts";

const FIXTURES = join(import.meta.dirname, "../fixtures");
const NAMES = Object.keys(CRASHING_CALLS);

/** Workspaces for all calls, as they are before; what they are to be after comes from the same calls without a crash. */
async function prepare(): Promise<{ base: string; before: Snapshots; after: Snapshots }> {
  const [base, undisturbed] = [await temporaryDirectory(), await temporaryDirectory()];
  for (const at of [base, undisturbed]) {
    const { workspaces } = await openService(at);
    for (const name of NAMES) {
      const { workspace } = await workspaces.create(workspaceOf(name), 1n);
      CRASHING_CALLS[name]?.setUp?.(workspace.path);
    }
  }
  const before = snapshots(base);
  const { files } = await openService(undisturbed);
  for (const name of NAMES) await CRASHING_CALLS[name]?.call(files, workspaceOf(name));
  return { base, before, after: snapshots(undisturbed) };
}

type Snapshots = Record<string, Record<string, string>>;

function snapshots(base: string): Snapshots {
  return Object.fromEntries(NAMES.map((name) => [name, snapshot(join(base, "workspaces", workspaceOf(name)))]));
}

async function crash(base: string, step: Step, durability: Durability = "process"): Promise<void> {
  const child = spawn(process.execPath, [join(FIXTURES, "crash-at-step.ts"), base, step, durability], { stdio: "inherit" });
  const [, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  expect(signal).toBe("SIGKILL");
}

/** Make every call again, in a new daemon, and tell which were replayed. */
async function repeat(base: string): Promise<Record<string, boolean>> {
  const { files } = await openService(base);
  const replayed: Record<string, boolean> = {};
  for (const name of NAMES) replayed[name] = (await CRASHING_CALLS[name]?.call(files, workspaceOf(name)))?.replayed ?? false;
  return replayed;
}

const all = (value: boolean): Record<string, boolean> => Object.fromEntries(NAMES.map((name) => [name, value]));

const eachDurability = (steps: readonly Step[]): Array<[Step, Durability]> =>
  steps.flatMap(
    (step): Array<[Step, Durability]> => [
      [step, "process"],
      [step, "machine"],
    ],
  );

describe.each(eachDurability(["planned", "intended"]))(
  "a daemon that is killed once a change is %s, with durability %s,",
  (step, durability) => {
    test("has changed nothing, and the repeated call is carried out", async () => {
      const { base, before, after } = await prepare();
      await crash(base, step, durability);
      expect(snapshots(base)).toEqual(before);
      expect(await repeat(base)).toEqual(all(false));
      expect(snapshots(base)).toEqual(after);
      expect(await repeat(base)).toEqual(all(true));
      expect(snapshots(base)).toEqual(after);
      expect(stagedBy(base)).toEqual([]);
    });
  },
);

describe.each(eachDurability(["committed", "settled", "recorded"]))(
  "a daemon that is killed once a change is %s, with durability %s,",
  (step, durability) => {
    test("has changed everything, and the repeated call is not carried out again", async () => {
      const { base, after } = await prepare();
      await crash(base, step, durability);
      expect(snapshots(base)).toEqual(after);
      // What commands do meanwhile would be undone by a second application.
      for (const name of NAMES) CRASHING_CALLS[name]?.disturb(join(base, "workspaces", workspaceOf(name)));
      const disturbed = snapshots(base);
      expect(disturbed).not.toEqual(after);
      expect(await repeat(base)).toEqual(all(true));
      expect(snapshots(base)).toEqual(disturbed);
      expect(stagedBy(base)).toEqual([]);
    });
  },
);

test("a call that was cut short by a crash is answered as it would have been, with the file's ETag", async () => {
  const { base } = await prepare();
  await crash(base, "committed");
  const { files } = await openService(base);
  const workspace = workspaceOf("edit");
  const { file } = await files.stat({ workspace, path: "file" });
  const edits = [{ oldText: "a", newText: "aa" }];
  const answer = await files.edit({ changeId: "change", workspace, epoch: 1n, path: "file", edits });
  expect(answer).toMatchObject({ replayed: true, firstChangedLine: 1n, file: { etag: file?.etag, path: file?.path, size: 2n } });
  expect(answer.patch).toContain("+aa");
});

function stagedBy(base: string): string[] {
  return NAMES.flatMap((name) => readdirSync(join(base, "workspaces/.staging", workspaceOf(name))));
}

test("a daemon that is killed again and again loses no append and makes none twice", async () => {
  const base = await temporaryDirectory();
  const { workspaces } = await openService(base);
  const { workspace } = await workspaces.create("crash/log", 1n);
  let acknowledged = 0;
  for (let life = 1; life <= 8; life++) {
    const args = [join(FIXTURES, "append-until-killed.ts"), base, workspace.name, String(acknowledged + 1)];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    const closed = once(child, "close");
    const until = acknowledged + 1 + Math.floor(Math.random() * 10);
    for await (const line of createInterface({ input: child.stdout })) {
      acknowledged = Number(line);
      // The next one is under way by now.
      if (acknowledged === until) setTimeout(() => child.kill("SIGKILL"), Math.random() * 8);
    }
    await closed;
  }
  const lines = readFileSync(join(workspace.path, "log"), "utf8").trimEnd().split("\n").map(Number);
  // The last one may have happened without its acknowledgement; nothing is missing, nothing is twice.
  expect(lines).toEqual(Array.from({ length: lines.length }, (_, i) => i + 1));
  expect(lines.length - acknowledged).toBeLessThanOrEqual(1);
  expect(lines.length).toBeGreaterThanOrEqual(acknowledged);
});
