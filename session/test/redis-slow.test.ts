import { describe, expect, onTestFinished, test } from "vitest";
import { type LeafStore, openLeafStore } from "../index.ts";
import { claim, claimWhenReady, delta, done, follow, LONG_LEASE_MS, logOf, refused, sendScripts, submit, words } from "../testing/build.ts";
import { leafStoreConformance } from "../testing/index.ts";
import { Link, type LinkShape } from "../testing/link.ts";
import { RedisServer } from "../testing/redis-server.ts";
import { redisServer } from "../testing/redis-vitest.ts";
import { violationsOf } from "./history/checker.ts";
import { finals } from "./history/finals.ts";
import { type Call, readCalls } from "./history/history.ts";
import { Recorder, randomOf } from "./history/recorder.ts";
import { Submitter } from "./history/submitter.ts";
import { Worker } from "./history/worker.ts";
import { redisFixture } from "./redis-fixture.ts";

const server = redisServer();

/** A store's address, directly and over a link. */
async function linked(shape: LinkShape = {}): Promise<{ direct: string; over: string; link: Link }> {
  const link = await Link.to(server().port, shape);
  onTestFinished(() => link[Symbol.asyncDispose]());
  const direct = server().freshUrl();
  return { direct, over: direct.replace(`:${server().port}`, `:${link.port}`), link };
}

async function open(url: string): Promise<LeafStore> {
  const store = await openLeafStore(url);
  onTestFinished(() => store.close());
  return store;
}

describe("a leaf store over a line that passes on 48 bytes at a time", () => {
  for (const { group, name, run } of leafStoreConformance(async () => redisFixture((await linked({ pieceBytes: 48 })).over))) {
    test(`${group}: ${name}`, run);
  }
});

test("over a line that is cut behind any byte of a request or of an answer, the whole history of a crowd keeps every promise", async () => {
  const { direct, over, link } = await linked();
  const seed = Math.floor(Math.random() * 2 ** 31);
  const random = randomOf(seed);
  const lines = new Map<string, string[]>();
  const stores = await Promise.all(Array.from({ length: 5 }, () => open(over)));
  const recorderOf = (name: string): Recorder => {
    const own: string[] = [];
    lines.set(name, own);
    return new Recorder((line) => own.push(line));
  };
  await sendScripts(await open(server().freshUrl()));
  link.reshape({ cutAfterBytes: () => 1 + Math.floor(random() * 15_000) });
  link.cut();
  let submitted = false;
  const [first, second, ...others] = stores;
  if (first === undefined || second === undefined) throw new Error("no stores");
  const working = others.map((store, i) =>
    new Worker(store, recorderOf(`worker${i}`), `worker${i}`, randomOf(seed + i)).run(() => submitted),
  );
  await Promise.all([
    new Submitter(first, recorderOf("submitter0"), randomOf(seed + 10)).run(0, 49),
    new Submitter(second, recorderOf("submitter1"), randomOf(seed + 11)).run(50, 99),
  ]);
  submitted = true;
  await Promise.all(working);
  const calls: Call[] = [...lines].flatMap(([name, own]) => readCalls(name, own));
  const leaves = await finals(await open(direct));
  expect(violationsOf({ calls, leaves }), `seed ${seed}`).toEqual([]);
  expect(leaves).toHaveLength(100);
  expect(link.joined).toBeGreaterThan(30);
});

test("the owner of a leaf whose line stood still over its lease's end is refused, and its late calls change nothing", async () => {
  const { direct, over, link } = await linked();
  const [slow, other] = [await open(over), await open(direct)];
  const { leafId } = await submit(other);
  const held = await claim(slow, 300, "slow");
  link.stop();
  const late = [slow.heartbeat(held, LONG_LEASE_MS), slow.append(held, [delta("late")]), slow.finish(held, done("late"), [])];
  const settled = Promise.all(late.map((call) => refused(call, "stale_epoch")));
  const next = await claimWhenReady(other, "other");
  expect([next.leaf.leafId, next.takeover]).toEqual([leafId, true]);
  link.resume();
  await settled;
  await other.finish(next, done("hi"), []);
  expect(words(await logOf(other, leafId))).toEqual(["queued", "running", "running", "done"]);
});

test("a connection that went dead without a sign is replaced: calls end, followers go on, and nothing is done twice", async () => {
  const { direct, over, link } = await linked();
  const [store, other] = [await open(over), await open(direct)];
  const { leafId } = await submit(store);
  const held = await claim(store);
  const following = follow(store, leafId);
  await store.append(held, [delta("a")]);
  link.stop();
  await store.append(held, [delta("b")]);
  await other.append(held, [delta("c")]);
  await store.finish(held, done("hi"), []);
  expect(words(await following)).toEqual(["queued", "running", "a", "b", "c", "done"]);
  expect(words(await logOf(other, leafId))).toEqual(["queued", "running", "a", "b", "c", "done"]);
});

test("a Redis that stands still is told as one that can't be reached, and does what it was asked at most once when it goes on", async () => {
  await using own = await RedisServer.startInMemory();
  const store = await open(own.url());
  const { leafId } = await submit(store);
  const held = await claim(store);
  const { pid } = own;
  if (pid === undefined) throw new Error("it does not run");
  process.kill(pid, "SIGSTOP");
  try {
    await Promise.all([
      refused(store.append(held, [delta("a")]), "store_unreachable"),
      refused(store.heartbeat(held, LONG_LEASE_MS), "store_unreachable"),
      refused(submit(store, {}, "key"), "store_unreachable"),
      refused(store.backlog(), "store_unreachable"),
    ]);
  } finally {
    process.kill(pid, "SIGCONT");
  }
  await store.finish(held, done("hi"), []);
  expect(words(await logOf(store, leafId)).filter((word) => word === "a").length).toBeLessThanOrEqual(1);
  await submit(store, {}, "key");
  expect((await store.list({ limit: 10 })).leaves).toHaveLength(2);
});
