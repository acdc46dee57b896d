import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatAddress } from "@serverless-harness/kit/address";
import { expect, onTestFinished, test } from "vitest";
import { HandsClient, type WatchOptions, type WatchUpdate, type WorkspaceClient } from "../../client/index.ts";
import { makeHands } from "../files/daemon-process.ts";
import { startFileService, WORKSPACE } from "../files/service.ts";
import { CuttingProxy } from "../fixtures/cutting-proxy.ts";

/** Limits of the kernel can be set for one process and its children. */
const mayLimit = spawnSync("unshare", ["-rU", "sh", "-c", "echo 1 > /proc/sys/user/max_inotify_watches"]).status === 0;

/** Follows a watch: `next` waits for an update, and gives its path, or what else it says. */
function follow(workspace: WorkspaceClient, options: WatchOptions = {}, path = "") {
  const updates = workspace.watch(path, { recursive: true, ...options })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const { done, value } = (await updates.next()) as IteratorResult<WatchUpdate, undefined>;
    if (done === true) return "over";
    if (value.kind === "started") return value.mode;
    return value.kind === "resync" || value.kind === "ended" ? `${value.kind}: ${value.reason}` : `${value.kind} ${value.path}`;
  };
  return { next, leave: () => updates.return?.() };
}

test("a watch whose connection is cut goes on over another one, and says that something may be missing", async () => {
  const { address, path } = await startFileService();
  const proxy = await CuttingProxy.start(address);
  const hands = new HandsClient({ address: proxy.address });
  onTestFinished(() => hands.close());
  const { next } = follow(hands.workspace(WORKSPACE, 1n));
  expect(await next()).toBe("notify");
  for (let round = 1; round <= 3; round++) {
    writeFileSync(join(path, `told${round}`), "");
    expect(await next()).toBe(`created told${round}`);
    proxy.cut();
    expect(await next()).toBe("resync: reconnected");
    writeFileSync(join(path, `later${round}`), "");
    expect(await next()).toBe(`created later${round}`);
  }
});

test("a watch over a connection that has gone silent is found out, and goes on over another one", async () => {
  const { address, path } = await startFileService();
  const proxy = await CuttingProxy.start(address);
  const hands = new HandsClient({ address: proxy.address }, { pingIntervalMs: 50, pingTimeoutMs: 500 });
  onTestFinished(() => hands.close());
  const { next } = follow(hands.workspace(WORKSPACE, 1n));
  expect(await next()).toBe("notify");
  proxy.stall();
  writeFileSync(join(path, "unheard"), "");
  expect(await next()).toBe("resync: reconnected");
  writeFileSync(join(path, "heard"), "");
  expect(await next()).toBe("created heard");
});

test("a watch survives a daemon that is killed and started anew, and ends with its directory or its workspace", async () => {
  const { start, client } = await makeHands();
  const daemon = await start();
  const workspace = client(1n);
  const { path } = await workspace.create();
  mkdirSync(join(path, "dir"));
  const [all, dir] = [follow(workspace), follow(workspace, {}, "dir")];
  expect([await all.next(), await dir.next()]).toEqual(["notify", "notify"]);
  await daemon.kill();
  await start();
  expect([await all.next(), await dir.next()]).toEqual(["resync: reconnected", "resync: reconnected"]);
  await workspace.remove("dir", { changeId: "1", recursive: true });
  expect([await all.next(), await dir.next(), await dir.next()]).toEqual(["removed dir", "ended: directory_gone", "over"]);
  await workspace.delete();
  expect([await all.next(), await all.next()]).toEqual(["ended: workspace_deleted", "over"]);
});

test("a watch is over when its signal is aborted, and fails when its client is closed or hands can't be reached", async () => {
  const { address } = await startFileService();
  const hands = new HandsClient({ address: formatAddress(address), patienceMs: 100 });
  const abort = new AbortController();
  const aborted = follow(hands.workspace(WORKSPACE, 1n), { signal: abort.signal });
  const closed = follow(hands.workspace(WORKSPACE, 1n));
  expect([await aborted.next(), await closed.next()]).toEqual(["notify", "notify"]);
  const over = aborted.next();
  abort.abort();
  expect(await over).toBe("over");
  const refused = expect(closed.next()).rejects.toMatchObject({ reason: "detached" });
  hands.close();
  await refused;
  await expect(follow((await makeHands()).client(1n, 50)).next()).rejects.toMatchObject({ reason: "sandbox_unavailable" });
});

test.runIf(mayLimit)(
  "where the kernel has no watches left a watch goes on by polling, from the start or later, and misses nothing",
  async () => {
    const { start, client } = await makeHands();
    await start({ maxWatches: 3 });
    const workspace = client(1n);
    const { path } = await workspace.create();
    const { next, leave } = follow(workspace);
    expect(await next()).toBe("notify");
    mkdirSync(join(path, "a/b/c/d"), { recursive: true });
    writeFileSync(join(path, "a/b/c/d/file"), "");
    const told = new Set<string>();
    while (told.size < 6) told.add(await next());
    const paths = ["a", "a/b", "a/b/c", "a/b/c/d", "a/b/c/d/file"];
    expect([...told].sort()).toEqual([...paths.map((name) => `created ${name}`), "poll"]);
    await leave();
    const polling = follow(workspace);
    expect(await polling.next()).toBe("poll");
    writeFileSync(join(path, "a/b/c/d/file"), "more");
    expect(await polling.next()).toBe("modified a/b/c/d/file");
  },
);
