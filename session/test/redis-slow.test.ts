import { describe, expect, onTestFinished, test } from "vitest";
import { type LeafStore, openLeafStore } from "../index.ts";
import { claim, claimWhenReady, delta, done, follow, LONG_LEASE_MS, logOf, refused, submit, words } from "../testing/build.ts";
import { leafStoreConformance } from "../testing/index.ts";
import { Link, type LinkShape } from "../testing/link.ts";
import { redisServer } from "../testing/redis-vitest.ts";
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
