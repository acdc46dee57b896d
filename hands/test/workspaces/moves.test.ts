import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { HarnessError } from "@serverless-harness/kit/errors";
import type { Claims } from "@serverless-harness/kit/hands-claims";
import { allPids, commandLine } from "@serverless-harness/kit/proc";
import { EndCause } from "@serverless-harness/proto/hands";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { HandsClient, type WorkspaceClient } from "../../client/index.ts";
import { type Daemon, mintToken, startDaemon } from "../fixtures/daemon.ts";
import { follow } from "../fixtures/followed.ts";
import { type Moment, startHeldStore } from "../fixtures/held-store.ts";
import { EPOCH, WORKSPACE } from "../fixtures/sandbox.ts";
import { watchTerminal } from "../fixtures/watched.ts";

/** A client of the daemon's workspace for the owner of this epoch, with a token that is good for nothing else. */
function ownedBy({ base }: Daemon, epoch: bigint, claims: Partial<Claims> = {}): WorkspaceClient {
  const client = new HandsClient({
    address: `unix:${join(base, "socket", "hands.sock")}`,
    token: () => mintToken(base, { scopes: [WORKSPACE], operations: ["workspaces"], epoch, ...claims }),
  });
  onTestFinished(() => client.close());
  return client.workspace(WORKSPACE, epoch);
}

async function listed({ base }: Daemon): Promise<Array<[string, bigint]>> {
  const client = new HandsClient({
    address: `unix:${join(base, "socket", "hands.sock")}`,
    token: () => mintToken(base, { scopes: ["*"], operations: ["workspaces.list"] }),
  });
  onTestFinished(() => client.close());
  return (await client.listWorkspaces()).map(({ name, epoch }) => [name, epoch]);
}

async function killed(daemon: Daemon): Promise<void> {
  daemon.process.kill("SIGKILL");
  await daemon.gone;
}

const reason = (call: Promise<unknown>) =>
  call.then(
    () => "none",
    (error: HarnessError) => error.reason,
  );
const textOf = async (workspace: WorkspaceClient, path: string) => Buffer.from(await workspace.read(path)).toString();
const path = ({ base }: Daemon, ...names: string[]) => join(base, "workspaces", WORKSPACE, ...names);

/** The workspace counts as deleted, whatever of it is still there. */
function isMarked({ base }: Daemon): boolean {
  return readFileSync(join(base, "state", "workspaces", WORKSPACE, "workspace.json"), "utf8").includes("deletedAtMs");
}

/** Runs on until it is ended, with this mark in its command line. */
const unending = (mark: string) => `echo up; (setsid sleep ${mark} &); sleep ${mark}`;

function living(mark: string): number {
  return allPids().filter((pid) => commandLine(pid).join(" ") === `sleep ${mark}`).length;
}

test("whoever drains a sandbox takes a snapshot under the last owner's epoch, which keeps no later owner out", async () => {
  const daemon = await startDaemon();
  const brain = await daemon.connect();
  await brain.write("file", Buffer.from("one"), { changeId: "one" });
  const drainer = ownedBy(daemon, EPOCH);
  expect(await drainer.snapshot("drain", { onlyIfChanged: true })).toMatchObject({ replayed: false, unchanged: false });
  await brain.write("file", Buffer.from("two"), { changeId: "two" });
  const next = ownedBy(daemon, EPOCH + 1n, { operations: ["workspaces", "files.write", "files.read"] });
  await next.create();
  expect(await reason(drainer.snapshot("late"))).toBe("stale_epoch");
  await next.restore("drain");
  expect(await textOf(next, "file")).toBe("one");
  expect(await reason(next.restore("late"))).toBe("unknown_snapshot");
});

test("a snapshot under which a newer owner comes is none, and the newer one's own is", async () => {
  const store = await startHeldStore();
  const daemon = await startDaemon(store.settings);
  const brain = await daemon.connect();
  await brain.write("file", Buffer.from("one"), { changeId: "one" });
  const held = store.hold("drain.bundle", "asked");
  const taking = reason(ownedBy(daemon, EPOCH).snapshot("drain"));
  const release = await held;
  const next = ownedBy(daemon, EPOCH + 1n);
  await next.create();
  release();
  expect(await taking).toBe("stale_epoch");
  expect(await reason(next.restore("drain"))).toBe("unknown_snapshot");
  expect(await next.snapshot("next")).toMatchObject({ replayed: false });
});

test("of a workspace that is as it was no snapshot is stored, unless the store has lost the earlier one", async () => {
  const daemon = await startDaemon();
  const workspace = await daemon.connect();
  const stored = () => readdirSync(join(daemon.base, "state", "artifacts", WORKSPACE)).sort();
  await workspace.write("file", Buffer.from("one"), { changeId: "one" });
  const { snapshot } = await workspace.snapshot("first");
  expect(await workspace.snapshot("second", { onlyIfChanged: true })).toEqual({ snapshot, replayed: false, unchanged: true });
  await killed(daemon);
  const again = await startDaemon({}, daemon.base);
  expect((await workspace.snapshot("second", { onlyIfChanged: true })).snapshot.snapshotId).toBe("first");
  expect(stored()).toEqual(["first.bundle", "first.json"]);
  await workspace.write("file", Buffer.from("two"), { changeId: "two" });
  expect(await workspace.snapshot("second", { onlyIfChanged: true })).toMatchObject({
    unchanged: false,
    snapshot: { snapshotId: "second" },
  });
  // A permission is no part of git's tree of a file, and is of a snapshot.
  await follow(workspace, "chmod 600 file").handle.ended;
  expect((await workspace.snapshot("third", { onlyIfChanged: true })).unchanged).toBe(false);
  await workspace.restore("first");
  expect((await workspace.snapshot("fourth", { onlyIfChanged: true })).snapshot.snapshotId).toBe("first");
  rmSync(join(daemon.base, "state", "artifacts", WORKSPACE, "first.bundle"));
  expect(await workspace.snapshot("fifth", { onlyIfChanged: true })).toMatchObject({ unchanged: false, snapshot: { snapshotId: "fifth" } });
  expect(stored()).toContain("fifth.bundle");
  await killed(again);
});

test("a sandbox killed at any step of a snapshot: it is there whole or not at all, and the call that is repeated makes it whole", async () => {
  const store = await startHeldStore();
  const elsewhere = await (await startDaemon(store.settings)).connect();
  let here = await startDaemon(store.settings);
  const workspace = await here.connect();
  await workspace.write("file", Buffer.from("0"), { changeId: "0" });
  await workspace.snapshot("s0");
  const steps: Array<[string, Moment]> = [
    ["bundle", "asked"],
    ["bundle", "done"],
    ["json", "asked"],
    ["json", "done"],
  ];
  for (const [i, [part, moment]] of steps.entries()) {
    const [last, id] = [`s${i}`, `s${i + 1}`];
    await workspace.write("file", Buffer.from(id), { changeId: id });
    const held = store.hold(`${id}.${part}`, moment);
    const taking = workspace.snapshot(id);
    const release = await held;
    await killed(here);
    release();
    const isStored = part === "json" && moment === "done";
    await elsewhere.restore(last);
    expect(await textOf(elsewhere, "file")).toBe(i === 0 ? "0" : last);
    expect([part, moment, await reason(elsewhere.restore(id))]).toEqual([part, moment, isStored ? "none" : "unknown_snapshot"]);
    here = await startDaemon(store.settings, here.base);
    expect(await taking).toMatchObject({ replayed: isStored, unchanged: false });
    await elsewhere.restore(id);
    expect(await textOf(elsewhere, "file")).toBe(id);
  }
});

describe.each(["process", "bwrap"])("a copy that is old, in a sandbox of the kind %s,", (kind) => {
  const settings = { HANDS_SANDBOX: kind, ...(kind === "bwrap" ? { HANDS_NETWORK: "none" } : {}) };

  test("is deleted under its commands, its terminal and its snapshot, by the epoch that it has", async () => {
    const store = await startHeldStore();
    const daemon = await startDaemon({ ...settings, ...(kind === "bwrap" ? {} : store.settings) });
    const workspace = await daemon.connect();
    const running = follow(workspace, unending(`71.25${process.pid}`));
    await running.until(() => running.text() === "up\n");
    await workspace.openTerminal({ terminalId: "t", argv: ["sleep", `71.25${process.pid}`] });
    const terminal = watchTerminal(workspace, "t");
    await vi.waitFor(() => expect(living(`71.25${process.pid}`)).toBe(3), { timeout: 20_000 });
    const held = kind === "bwrap" ? undefined : store.hold("s.bundle", "asked");
    const taking = reason(workspace.snapshot("s"));
    const release = await held;
    expect(await listed(daemon)).toEqual([[WORKSPACE, EPOCH]]);
    expect(await reason(ownedBy(daemon, EPOCH - 1n).delete())).toBe("stale_epoch");
    expect(living(`71.25${process.pid}`)).toBe(3);
    const deleting = ownedBy(daemon, EPOCH).delete();
    await vi.waitFor(() => expect(isMarked(daemon)).toBe(true), { timeout: 20_000, interval: 5 });
    release?.();
    await deleting;
    expect((await running.handle.ended).cause).toBe(EndCause.CANCELLED);
    await terminal.handle.ended;
    if (kind !== "bwrap") expect(["git_aborted", "unknown_workspace"]).toContain(await taking);
    expect(living(`71.25${process.pid}`)).toBe(0);
    expect([await listed(daemon), existsSync(path(daemon))]).toEqual([[], false]);
    const next = ownedBy(daemon, EPOCH + 1n, { operations: ["workspaces", "files.read"] });
    await next.create({ fresh: true });
    expect(await next.list(".")).toEqual([]);
  });

  test("that a newer owner has taken over meanwhile is not deleted, and nothing in it ends", async () => {
    const daemon = await startDaemon(settings);
    const workspace = await daemon.connect();
    const running = follow(workspace, unending(`71.5${process.pid}`));
    await running.until(() => running.text() === "up\n");
    // The one in the background may start after the word.
    await vi.waitFor(() => expect(living(`71.5${process.pid}`)).toBe(2), { timeout: 20_000 });
    await ownedBy(daemon, EPOCH + 1n).create();
    expect(await reason(ownedBy(daemon, EPOCH).delete())).toBe("stale_epoch");
    expect(living(`71.5${process.pid}`)).toBe(2);
    expect(await listed(daemon)).toEqual([[WORKSPACE, EPOCH + 1n]]);
  });

  test.each(["marked", "moved away"])("is gone after all if the sandbox is killed when it is %s, with what ran in it", async (step) => {
    const daemon = await startDaemon(settings);
    const workspace = await daemon.connect();
    for (let i = 0; i < 40; i++) {
      mkdirSync(path(daemon, `d${i}`));
      for (let j = 0; j < 40; j++) writeFileSync(path(daemon, `d${i}`, `f${j}`), "");
    }
    const running = follow(workspace, unending(`71.75${process.pid}`));
    await running.until(() => running.text() === "up\n");
    const deleting = ownedBy(daemon, EPOCH).delete();
    const isReached = () => (step === "marked" ? isMarked(daemon) : !existsSync(path(daemon)));
    while (!isReached()) await new Promise((resolve) => setImmediate(resolve));
    await killed(daemon);
    const again = await startDaemon(settings, daemon.base);
    await deleting;
    expect([await listed(again), existsSync(path(again))]).toEqual([[], false]);
    await vi.waitFor(() => expect(living(`71.75${process.pid}`)).toBe(0), { timeout: 20_000 });
    await vi.waitFor(() => expect(readdirSync(join(again.base, "workspaces", ".trash"))).toEqual([]), { timeout: 20_000 });
    expect(await reason(ownedBy(again, EPOCH - 1n).create())).toBe("stale_epoch");
    const next = ownedBy(again, EPOCH + 1n, { operations: ["workspaces", "files.read"] });
    await next.create();
    expect(await next.list(".")).toEqual([]);
  });
});
