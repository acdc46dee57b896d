import { execFileSync } from "node:child_process";
import { access, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import type { HarnessError } from "@serverless-harness/kit/errors";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { EndCause } from "@serverless-harness/proto/hands";
import { expect, onTestFinished, test } from "vitest";
import { HandsClient } from "../../client/index.ts";
import { CuttingProxy } from "../fixtures/cutting-proxy.ts";
import { follow } from "../fixtures/followed.ts";
import { EPOCH, startSandbox, WORKSPACE } from "../fixtures/sandbox.ts";

async function start() {
  const sandbox = await startSandbox();
  const proxy = await CuttingProxy.start(sandbox.address);
  const client = new HandsClient({ address: proxy.address, patienceMs: 20_000 });
  onTestFinished(() => client.close());
  return { proxy, client, workspace: client.workspace(WORKSPACE, EPOCH) };
}

const rejection = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: HarnessError) => error,
  );
const text = (data: Uint8Array): string => Buffer.from(data).toString();

async function repository(): Promise<string> {
  const directory = await temporaryDirectory();
  const git = (...args: string[]) => execFileSync("git", ["-C", directory, "-c", "user.name=t", "-c", "user.email=t@t", ...args]);
  git("init", "-q", "-b", "main");
  await writeFile(join(directory, "a.txt"), "one\n");
  git("add", ".");
  git("commit", "-qm", "one");
  git("tag", "v1");
  await writeFile(join(directory, "a.txt"), "two\n");
  git("commit", "-qam", "two");
  return directory;
}

test("a workspace is made from a repository at a ref, or from another workspace, and made anew", async () => {
  const { client } = await start();
  const url = await repository();
  const one = client.workspace("acme/git", 1n);
  expect((await one.create({ source: { kind: "git", url, ref: "v1" } })).baseCommit).toMatch(/^[0-9a-f]{40}$/);
  expect(text(await one.read("a.txt"))).toBe("one\n");
  const two = client.workspace("acme/copy", 1n);
  await two.create({ source: { kind: "copy", workspace: "acme/git" } });
  expect(text(await two.read("a.txt"))).toBe("one\n");
  const again = client.workspace("acme/git", 2n);
  await again.create({ source: { kind: "git", url }, fresh: true });
  expect(text(await again.read("a.txt"))).toBe("two\n");
  expect(await rejection(client.workspace("acme/none", 1n).create({ source: { kind: "git", url, ref: "nowhere" } }))).toMatchObject({
    code: Code.NotFound,
    reason: "unknown_ref",
  });
  expect((await client.listWorkspaces()).map(({ name }) => name)).toEqual(["acme/copy", "acme/git", WORKSPACE]);
});

test("what changed is a patch, and a snapshot brings a tree back", async () => {
  const { workspace } = await start();
  await workspace.create();
  await workspace.write("a.txt", Buffer.from("first\n"), { changeId: "c1" });
  const { snapshot, replayed } = await workspace.snapshot("s1");
  expect([snapshot.snapshotId, replayed, (await workspace.snapshot("s1")).replayed]).toEqual(["s1", false, true]);
  await workspace.write("a.txt", Buffer.from("second\n"), { changeId: "c2" });
  await workspace.write("b.txt", Buffer.from("b\n".repeat(1000)), { changeId: "c3" });
  const since = await workspace.diff({ sinceSnapshotId: "s1" });
  expect(since.summary).toMatchObject({ files: 2, truncated: false, bytes: BigInt(since.patch.length) });
  expect(text(since.patch)).toContain("-first\n+second\n");
  const cut = await workspace.diff({ maxBytes: 100 });
  expect([cut.patch.length, cut.summary.truncated]).toEqual([100, true]);
  expect(await workspace.restore("s1")).toMatchObject({ changedFiles: 2, snapshot: { tree: snapshot.tree } });
  expect(text(await workspace.read("a.txt"))).toBe("first\n");
  expect(await rejection(workspace.restore("none"))).toMatchObject({ code: Code.NotFound, reason: "unknown_snapshot" });
});

test("calls that a cut connection broke are made again", async () => {
  const { workspace, proxy } = await start();
  await workspace.create();
  await workspace.write("big", Buffer.alloc(2_000_000, "line of text\n"), { changeId: "c1" });
  let cuts = 0;
  proxy.cutEvery(() => (cuts++ < 3 ? 200_000 : Number.POSITIVE_INFINITY));
  const { patch, summary } = await workspace.diff();
  expect([cuts > 2, patch.length]).toEqual([true, Number(summary.bytes)]);
  proxy.cut();
  const { snapshot } = await workspace.snapshot("s1");
  proxy.cut();
  expect((await workspace.restore("s1")).snapshot).toEqual(snapshot);
});

test("a deleted workspace is gone with its files, and deleting it again is no error", async () => {
  const { client } = await start();
  const workspace = client.workspace("acme/gone", 1n);
  const { path } = await workspace.create();
  await workspace.write("a", Buffer.from("a"), { changeId: "c1" });
  await workspace.delete();
  await workspace.delete();
  await expect(access(path)).rejects.toThrow("ENOENT");
  expect(await rejection(workspace.diff())).toMatchObject({ code: Code.NotFound, reason: "unknown_workspace" });
});

test("an exec is signalled and ended by whoever knows its id", async () => {
  const { workspace, proxy } = await start();
  const { path } = await workspace.create();
  const command = "trap 'echo usr1 >>told' USR1; echo up; while :; do sleep 0.01; done";
  const followed = follow(workspace, command, { execId: "theirs" });
  await followed.until(() => followed.text() === "up\n");
  followed.handle.detach();
  proxy.cut();
  await workspace.signalExec("theirs", "SIGUSR1");
  const seen = follow(workspace, "until [ -s told ]; do sleep 0.01; done");
  await seen.handle.ended;
  expect(await readFile(join(path, "told"), "utf8")).toContain("usr1");
  await workspace.cancelExec("theirs");
  expect(await follow(workspace, command, { execId: "theirs" }).handle.ended).toMatchObject({ cause: EndCause.CANCELLED });
  expect(await rejection(workspace.cancelExec("nobody's"))).toMatchObject({ code: Code.InvalidArgument });
  expect(await rejection(workspace.cancelExec("unknown"))).toMatchObject({ code: Code.NotFound, reason: "unknown_exec" });
});
