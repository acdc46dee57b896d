import { readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { type Leaf, temporaryLeaf } from "./leaf.ts";

interface Status {
  readonly pid: number | null;
  readonly url: string;
  readonly healthy: boolean;
  readonly parts: ReadonlyArray<{
    readonly name: string;
    readonly pid: number | null;
    readonly address: string;
    readonly healthy: boolean;
  }>;
  readonly lives: Readonly<Record<string, { readonly restarts: number; readonly watched: boolean; readonly lastEnd: string }>>;
}

const NAMES = ["dispatcher", "hands", "model"];

/** What the stack is now; `undefined` if the dispatcher does not answer. */
async function statusOf(leaf: Leaf): Promise<Status | undefined> {
  const { stdout } = await leaf.run(["status", "--json"]);
  return stdout === "" ? undefined : (JSON.parse(stdout) as Status);
}

async function statusOnce(leaf: Leaf, holds: (status: Status) => boolean): Promise<Status> {
  for (;;) {
    const status = await statusOf(leaf);
    if (status !== undefined && holds(status)) return status;
    await sleep(50);
  }
}

const pidOf = (status: Status, name: string): number =>
  (name === "dispatcher" ? status.pid : status.parts.find((part) => part.name === name)?.pid) ?? 0;

const watcherOf = (leaf: Leaf, part: string): number => leaf.processes(part).find((process) => process.watches)?.pid ?? 0;

describe("without leaf up being called again", () => {
  test("services that were killed come back where they were, and status and the logs tell of it", async () => {
    const leaf = await temporaryLeaf();
    await leaf.run(["up", "--sandbox", "process"]);
    const before = await statusOnce(leaf, ({ healthy }) => healthy);
    for (const name of NAMES) process.kill(pidOf(before, name), "SIGKILL");
    const after = await statusOnce(leaf, ({ healthy, lives }) => healthy && NAMES.every((name) => lives[name]?.restarts === 1));
    expect(after.url).toBe(before.url);
    expect(after.parts.map(({ address }) => address)).toEqual(before.parts.map(({ address }) => address));
    for (const name of NAMES) {
      expect(pidOf(after, name)).not.toBe(pidOf(before, name));
      expect(after.lives[name]).toMatchObject({ watched: true, gaveUp: false, lastEnd: "killed by signal 9, Killed" });
      expect(readFileSync(join(leaf.dir, "log", `${name}.log`), "utf8")).toContain(`${name} died (killed by signal 9, Killed)`);
    }
    expect((await leaf.run(["status"])).stdout).toMatch(/^restarts +hands died and was started again 1 time, /m);
    expect(await leaf.run(["turn", "Run: echo mended"])).toMatchObject({ code: 0, stdout: expect.stringContaining("mended") });
    expect(await leaf.run(["down"])).toMatchObject({ code: 0 });
    expect(leaf.processes()).toEqual([]);
  });

  test("a jail comes back whose daemon or supervisor was killed, and what ran is lost and never run again", async () => {
    const leaf = await temporaryLeaf();
    await leaf.run(["up"]);
    for (const [restarts, victim] of ["daemon", "supervisor"].entries()) {
      const { leaf: submitted } = await leaf.json<{ leaf: { leafId: string } }>("submit", `Run: echo ran >>ran; sleep 66${restarts}`);
      while (!leaf.processes("hands").some(({ args }) => args.join(" ") === `sleep 66${restarts}`)) await sleep(20);
      const mains = leaf.processes("hands").filter(({ main }) => main);
      const supervisor = pidOf(await statusOnce(leaf, () => true), "hands");
      process.kill(victim === "daemon" ? (mains.at(-1)?.pid ?? 0) : supervisor, "SIGKILL");
      await statusOnce(leaf, ({ healthy, lives }) => healthy && lives["hands"]?.restarts === restarts + 1);
      expect(await leaf.run(["watch", submitted.leafId])).toMatchObject({
        code: 0,
        stdout: expect.stringContaining("died while this command ran"),
      });
    }
    expect(await leaf.run(["turn", "Run: echo mended"])).toMatchObject({ code: 0, stdout: expect.stringContaining("mended") });
  });
});

test("a service that can't start again is given up, and status says so with the last line that it wrote", async () => {
  const leaf = await temporaryLeaf();
  await leaf.run(["up", "--sandbox", "process"]);
  const before = await statusOnce(leaf, ({ healthy }) => healthy);
  renameSync(join(leaf.dir, "keys", "hands.pub"), join(leaf.dir, "keys", "away"));
  process.kill(pidOf(before, "hands"), "SIGKILL");
  await statusOnce(leaf, ({ lives }) => (lives["hands"] as { gaveUp?: boolean } | undefined)?.gaveUp === true);
  const { code, stdout } = await leaf.run(["status"]);
  expect(code).toBe(3);
  expect(stdout).toMatch(/^gave up +hands .* its last line: .*HANDS_PUBLIC_KEY_FILE/m);
  renameSync(join(leaf.dir, "keys", "away"), join(leaf.dir, "keys", "hands.pub"));
  expect(await leaf.run(["up"])).toMatchObject({ code: 0 });
  expect(await statusOf(leaf)).toMatchObject({ healthy: true, lives: { hands: { restarts: 0, watched: true } } });

  renameSync(join(leaf.dir, "token"), join(leaf.dir, "away"));
  process.kill(before.pid ?? 0, "SIGKILL");
  for (;;) {
    const told = await leaf.run(["status"]);
    if (told.stderr.includes("is given up")) {
      expect(told).toMatchObject({ code: 3, stderr: expect.stringContaining("DISPATCHER_TOKEN_FILE") });
      break;
    }
    await sleep(50);
  }
  renameSync(join(leaf.dir, "away"), join(leaf.dir, "token"));
});

test("a service whose watcher was killed goes on, and leaf up starts both again", async () => {
  const leaf = await temporaryLeaf();
  await leaf.run(["up", "--sandbox", "process"]);
  const before = await statusOnce(leaf, ({ healthy }) => healthy);
  for (const name of NAMES) process.kill(watcherOf(leaf, name), "SIGKILL");
  const unwatched = await statusOnce(leaf, ({ lives }) => NAMES.every((name) => lives[name]?.watched === false));
  expect(unwatched.healthy).toBe(true);
  expect((await leaf.run(["status"])).stdout).toMatch(/^unwatched +nobody starts dispatcher again /m);
  expect(await leaf.run(["turn", "Run: echo still"])).toMatchObject({ code: 0, stdout: expect.stringContaining("still") });
  expect(await leaf.run(["up"])).toMatchObject({ code: 0 });
  const after = await statusOnce(leaf, ({ healthy }) => healthy);
  expect(after.url).toBe(before.url);
  for (const name of NAMES) expect(after.lives[name]).toMatchObject({ watched: true });
  expect(leaf.processes().filter(({ main, part }) => main && part === "dispatcher")).toHaveLength(1);
  for (const name of NAMES) process.kill(watcherOf(leaf, name), "SIGKILL");
  expect(await leaf.run(["down"])).toMatchObject({ code: 0 });
  expect(leaf.processes()).toEqual([]);
});

test("leaf down ends a stack for good whose services have just died", async () => {
  const leaf = await temporaryLeaf();
  await leaf.run(["up", "--sandbox", "process"]);
  const before = await statusOnce(leaf, ({ healthy }) => healthy);
  for (const name of NAMES) process.kill(pidOf(before, name), "SIGKILL");
  expect(await leaf.run(["down"])).toMatchObject({ code: 0 });
  expect(leaf.processes()).toEqual([]);
});
