import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { parseAddress } from "@serverless-harness/kit/address";
import { createTransport } from "@serverless-harness/kit/transport";
import { openConversations } from "@serverless-harness/pi-fork/conversations";
import { bash, HandsProcess, say, scripted } from "@serverless-harness/pi-fork/testing";
import { WorkspaceService } from "@serverless-harness/proto/hands";
import { LeafState } from "@serverless-harness/proto/leaf";
import { type Fence, type LeafStore, type Sandboxes, sessionKey } from "@serverless-harness/session";
import { Child } from "@serverless-harness/session/testing/child";
import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { machines, Stack } from "../../../brain/test/fixtures/stack.ts";
import { overriding } from "../../overriding.ts";
import { Caretaker } from "../../pool/caretaker.ts";
import { SessionRetention } from "../../session-retention.ts";
import { claimed, newLeaf, newStore, SILENT } from "../support.ts";
import { listed, startPool, until } from "./world.ts";

const shared = machines();
const server = redisServer();
const CARETAKER = new URL("../fixtures/mortal-caretaker.ts", import.meta.url);
const MINUTE_MS = 60_000;

type Name = "a" | "b";

/** Two sandboxes that share an artifact store, for all tests, each of which has a leaf store and sessions of its own, all of one tenant. */
const hands = {} as Record<Name, HandsProcess>;
beforeAll(async () => {
  const root = await mkdtemp(join(tmpdir(), "harness-drain-"));
  await writeFile(join(root, "key"), randomBytes(32), { mode: 0o600 });
  const env = { HANDS_ARTIFACTS: `file://${join(root, "artifacts")}`, HANDS_ARTIFACTS_KEY_FILE: join(root, "key") };
  [hands.a, hands.b] = await Promise.all([HandsProcess.start(env), HandsProcess.start(env)]);
  return async () => {
    await Promise.all([hands.a.stop(), hands.b.stop()]);
    await rm(root, { recursive: true, force: true });
  };
});

/** A pool of both. */
async function openWorld(store: LeafStore, url: string) {
  const sources = [listed({ name: "a", address: hands.a.address }, { name: "b", address: hands.b.address })];
  const pool = await startPool(sources, { store });
  await until(async () => (await pool.there()).length === 2);
  const counts = async (name: string) => {
    const { working = -1, placed = -1 } = (await pool.known(name)) ?? {};
    return [working, placed].join();
  };
  return { ...pool, url, counts };
}

async function ownWorld() {
  const { store, url } = await newStore();
  return await openWorld(store, url);
}

type World = Awaited<ReturnType<typeof openWorld>>;

/** Somebody who takes care of the pool. */
function care({ store, pool }: Pick<World, "store" | "pool">): Caretaker {
  const caretaker = new Caretaker({ store, pool, log: SILENT });
  onTestFinished(() => caretaker.stop());
  caretaker.start();
  return caretaker;
}

function workspacesOf(name: Name) {
  const address = parseAddress(hands[name].address);
  if (address === undefined) throw new Error("the sandbox has an address");
  const transport = createTransport({ address });
  onTestFinished(() => transport.close());
  return createClient(WorkspaceService, transport);
}

function fileIn(name: Name, session: Pick<Fence, "tenant" | "sessionId">, file = ""): string {
  return hands[name].path(sessionKey(session), file);
}

/** A session that sleeps in a sandbox, with a file that no snapshot has. */
async function sleeper({ store }: World, name: Name = "a"): Promise<Fence> {
  const { leaf } = await store.submit(newLeaf({ tenant: "test" }));
  const { fence } = await claimed(store);
  const other = name === "a" ? "b" : "a";
  await store.sandboxes.drain(other, true);
  expect((await store.sandboxes.place(fence, {}, MINUTE_MS)).sandbox.name).toBe(name);
  await store.sandboxes.drain(other, false);
  await workspacesOf(name).create({ workspace: sessionKey(fence), epoch: fence.epoch });
  writeFileSync(fileIn(name, fence, "new.txt"), `of ${leaf.leafId}`);
  await store.sandboxes.settle(fence);
  await store.sandboxes.hold(fence, 0);
  return fence;
}

/** Its next owner is placed in b, and finds all of it in the snapshot that is told. */
async function expectWholeInB({ store }: World, before: Fence): Promise<void> {
  const fence = { ...before, epoch: before.epoch + 1n };
  const { sandbox, moved, snapshotId = "" } = await store.sandboxes.place(fence, {}, MINUTE_MS);
  expect([sandbox.name, moved]).toEqual(["b", undefined]);
  const owner = { workspace: sessionKey(fence), epoch: fence.epoch };
  await workspacesOf("b").create({ ...owner, fresh: true });
  await workspacesOf("b").restore({ ...owner, snapshotId });
  expect(readFileSync(fileIn("b", fence, "new.txt"), "utf8")).toMatch(/^of leaf_/);
}

/** The store, and what it said when somebody asked first which copies are old. */
function tellingOldCopies(inner: LeafStore): { store: LeafStore; told: Promise<readonly unknown[]> } {
  const { promise: told, resolve } = Promise.withResolvers<readonly unknown[]>();
  const elsewhere: Sandboxes["elsewhere"] = async (...args) => {
    const found = await inner.sandboxes.elsewhere(...args);
    resolve(found);
    return found;
  };
  return { store: overriding<LeafStore>(inner, { sandboxes: overriding<Sandboxes>(inner.sandboxes, { elsewhere }) }), told };
}

const isGone = (session: Fence): boolean => !existsSync(fileIn("a", session));

describe.each([
  ["SQLite", () => Stack.open(shared)],
  ["Redis", () => Stack.open(shared, onTestFinished, server().freshUrl())],
])("with a leaf store on %s", (_, open) => {
  test("a session that sleeps in a sandbox which drains is moved without a brain, and its next leaf finds all that it had", async () => {
    const stack = await open();
    const world = await openWorld(stack.store, stack.storeUrl);
    const run = async (prompt: string, sessionId?: string) => {
      const leaf = await stack.submit(prompt, sessionId === undefined ? {} : { sessionId });
      const brain = stack.brain({ HANDS_URL: "pool" });
      const ended = await stack.ended(leaf);
      await brain.exited;
      return { text: ended.result?.text, tenant: ended.spec?.tenant ?? "", sessionId: ended.spec?.sessionId ?? "", epoch: ended.epoch };
    };
    const session = await run(scripted(bash("echo old >old.txt"), say("done")));
    writeFileSync(fileIn("a", session, "new.txt"), "new\n");
    care(world);
    await world.store.sandboxes.drain("a", true);
    await until(async () => (await world.counts("a")) === "0,0" && isGone(session));
    expect((await run(scripted(bash("cat old.txt new.txt"), say("{{last_tool_result}}")), session.sessionId)).text).toBe("old\nnew\n");
    expect(await world.counts("b")).toBe("0,1");
  });
});

test("what works in a sandbox that drains stays there until its lease is over, and is moved then", async () => {
  const world = await ownWorld();
  const [works, sleeps] = [await sleeper(world), await sleeper(world)];
  await world.store.sandboxes.place(works, {}, MINUTE_MS);
  care(world);
  await world.store.sandboxes.drain("a", true);
  await until(async () => (await world.counts("a")) === "1,1" && isGone(sleeps));
  expect(existsSync(fileIn("a", works, "new.txt"))).toBe(true);
  await world.store.sandboxes.hold(works, 0);
  await until(async () => (await world.counts("a")) === "0,0" && isGone(works));
  await expectWholeInB(world, works);
});

test("a sandbox that does not drain any more keeps what is still there", async () => {
  const world = await ownWorld();
  const fence = await sleeper(world);
  await world.store.sandboxes.drain("a", true);
  await world.store.sandboxes.drain("a", false);
  const { store, told } = tellingOldCopies(world.store);
  care({ store, pool: world.pool });
  await told;
  expect(await world.counts("a")).toBe("0,1");
  expect(existsSync(fileIn("a", fence, "new.txt"))).toBe(true);
});

test.each([0, 1, 2, 3])("a dispatcher that is killed at step %i of a move loses nothing, and the next one goes on", async (step) => {
  const world = await ownWorld();
  const fence = await sleeper(world);
  await world.store.sandboxes.drain("a", true);
  const child = new Child(CARETAKER, world.url, "a", hands.a.address, String(step));
  await child.ended;
  expect(child.process.signalCode).toBe("SIGKILL");
  // Only then is it taken out for good.
  expect(await world.counts("a")).toBe(step === 3 ? "0,0" : "0,1");
  expect(existsSync(fileIn("a", fence, "new.txt"))).toBe(true);
  care(world);
  await until(async () => (await world.counts("a")) === "0,0" && isGone(fence));
  await expectWholeInB(world, fence);
});

test("a sandbox that is killed while it is emptied loses nothing, and is emptied when it is back", async () => {
  const world = await ownWorld();
  const fence = await sleeper(world);
  await hands.a.kill();
  await world.store.sandboxes.drain("a", true);
  care(world);
  await until(async () => (await world.there()).join() === "b");
  expect(await world.counts("a")).toBe("0,1");
  await hands.a.revive();
  await until(async () => (await world.counts("a")) === "0,0" && isGone(fence));
  await expectWholeInB(world, fence);
});

test("a sandbox that comes back loses its copies of sessions that went on elsewhere meanwhile, and no others", async () => {
  const world = await ownWorld();
  const [moves, stays, other] = [await sleeper(world), await sleeper(world), await sleeper(world, "b")];
  await hands.a.kill();
  await until(async () => (await world.there()).join() === "b");
  const next = { ...moves, epoch: moves.epoch + 1n };
  expect((await world.store.sandboxes.place(next, {}, MINUTE_MS)).moved).toMatchObject({ name: "a", isThere: false });
  await world.store.sandboxes.settle(next);
  care(world);
  await hands.a.revive();
  await until(() => isGone(moves));
  expect([existsSync(fileIn("a", stays, "new.txt")), existsSync(fileIn("b", other, "new.txt"))]).toEqual([true, true]);
});

test("a sandbox that goes by another name now keeps what it has, though its sessions are noted under the old one", async () => {
  const world = await ownWorld();
  const fence = await sleeper(world);
  await world.pool.stop();
  await until(async () => (await world.there()).length === 0);
  const renamed = await startPool([listed({ name: "renamed", address: hands.a.address })], { store: world.store });
  await until(async () => (await renamed.there()).join() === "renamed");
  const { store, told } = tellingOldCopies(world.store);
  const caretaker = care({ store, pool: renamed.pool });
  expect(await told).toEqual([]);
  await caretaker.stop();
  expect(existsSync(fileIn("a", fence, "new.txt"))).toBe(true);
});

test("a session that goes for good is deleted in the sandbox where it is, when that is there, and its place is forgotten", async () => {
  const world = await ownWorld();
  const { store } = world;
  const { leaf } = await store.submit(newLeaf({ tenant: "test" }));
  const claim = await claimed(store);
  await store.sandboxes.drain("b", true);
  await store.sandboxes.place(claim.fence, {}, MINUTE_MS);
  await workspacesOf("a").create({ workspace: sessionKey(claim.fence), epoch: claim.fence.epoch });
  await store.sandboxes.hold(claim.fence, 0);
  await store.finish(claim, { state: LeafState.ABORTED }, []);
  await store.sweep({ leafMs: 0, tombstoneMs: 600_000 }, 10);
  const exists = () => store.sessionExists(claim.fence.tenant, leaf.spec?.sessionId ?? "");
  const options = { store, openConversations: () => openConversations(world.url), keepMs: -MINUTE_MS, log: SILENT };
  const retention = new SessionRetention({ ...options, sandbox: world.pool });
  onTestFinished(() => retention.close());
  const { signal } = new AbortController();
  await hands.a.kill();
  await until(async () => (await world.there()).join() === "b");
  await retention.removeIdle(signal);
  expect(await exists()).toBe(true);
  await hands.a.revive();
  await until(async () => (await world.there()).length === 2);
  await retention.removeIdle(signal);
  expect([await exists(), isGone(claim.fence), await world.counts("a")]).toEqual([false, true, "0,0"]);
});
