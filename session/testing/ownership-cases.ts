import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { equals } from "@bufbuild/protobuf";
import { LeafSchema, LeafState } from "@serverless-harness/proto/leaf";
import type { Claim } from "../contract/claim.ts";
import type { LeafStore } from "../contract/leaf-store.ts";
import {
  claim,
  claimWhenReady,
  delta,
  done,
  failureOf,
  LONG_LEASE_MS,
  logOf,
  nothingReady,
  recordOf,
  refused,
  submit,
  usage,
  words,
} from "./build.ts";
import type { Case } from "./types.ts";

/** Every method that takes a claim. */
const METHODS: Readonly<Record<string, (store: LeafStore, held: Claim) => Promise<unknown>>> = {
  heartbeat: (store, held) => store.heartbeat(held, LONG_LEASE_MS),
  append: (store, held) => store.append(held, [delta("stale"), usage(99)]),
  finish: (store, held) => store.finish(held, done("stale"), [delta("stale")]),
  retry: (store, held) => store.retry(held, failureOf("stale"), 0, [delta("stale")]),
  release: (store, held) => store.release(held, "stale"),
  delivered: (store, held) => store.delivered(held, ["m"]),
};

/** How a claim can have ended. */
const ENDINGS: Readonly<Record<string, (store: LeafStore, held: Claim) => Promise<unknown>>> = {
  "was taken over": (store) => claimWhenReady(store),
  "was finished": (store, held) => store.finish(held, done("hi"), []),
  "was handed back": (store, held) => store.release(held, "drained"),
  "ended in a failed attempt": (store, held) => store.retry(held, failureOf("overloaded"), Date.now() + LONG_LEASE_MS, []),
  "was taken from a dead worker": (store) => store.releaseWorker("worker-1", "worker died"),
};

async function assertPowerless(store: LeafStore, held: Claim): Promise<void> {
  const { leafId } = held.leaf;
  const [record, log, backlog] = [await recordOf(store, leafId), await logOf(store, leafId), await store.backlog()];
  for (const method of Object.values(METHODS)) await refused(method(store, held), "stale_epoch");
  ok(equals(LeafSchema, await recordOf(store, leafId), record));
  strictEqual((await logOf(store, leafId)).length, log.length);
  deepStrictEqual(await store.backlog(), backlog);
}

const endingCases = Object.entries(ENDINGS).map(
  ([ending, end]): Case => [
    `a claim that ${ending} is refused by every method and changes nothing`,
    async ({ store, connect }) => {
      await submit(store, { sessionId: "s" });
      await submit(store, { sessionId: "s" });
      const held = await claim(store, ending === "was taken over" ? 1 : LONG_LEASE_MS);
      await end(await connect(), held);
      await assertPowerless(store, held);
    },
  ],
);

const forgeries: Readonly<Record<string, (held: Claim, other: Claim) => Claim>> = {
  "a later epoch": (held) => ({ ...held, fence: { ...held.fence, epoch: held.fence.epoch + 1n } }),
  "another session's fence": (held, other) => ({ ...held, fence: other.fence }),
  "another tenant's fence": (held) => ({ ...held, fence: { ...held.fence, tenant: "b" } }),
};

const forgeryCases = Object.entries(forgeries).map(
  ([what, forge]): Case => [
    `a claim with ${what} is refused by every method`,
    async ({ store }) => {
      await submit(store, { sessionId: "s" });
      await submit(store, { sessionId: "t" });
      const [held, other] = [await claim(store), await claim(store)];
      await assertPowerless(store, forge(held, other));
    },
  ],
);

export const ownershipCases: readonly Case[] = [
  ...endingCases,
  ...forgeryCases,
  [
    "a lease that ended takes nothing away before another worker claims",
    async ({ store, connect }) => {
      const { leafId } = await submit(store);
      const held = await claim(store, 1);
      await (await connect()).waitForWork(LONG_LEASE_MS, new AbortController().signal);
      await store.append(held, [delta("still here")]);
      await store.finish(held, done("hi"), []);
      deepStrictEqual(words(await logOf(store, leafId)), ["queued", "running", "still here", "done"]);
      await nothingReady(store);
    },
  ],
  [
    "a heartbeat prolongs the lease, also one that has ended",
    async ({ store, connect }) => {
      await submit(store);
      const held = await claim(store, 1);
      await (await connect()).waitForWork(LONG_LEASE_MS, new AbortController().signal);
      deepStrictEqual({ ...(await store.heartbeat(held, LONG_LEASE_MS)) }, { cancelRequested: false, messages: [] });
      await nothingReady(store);
      deepStrictEqual([(await store.backlog()).ready, (await store.backlog()).running], [0, 1]);
    },
  ],
  [
    "a heartbeat sets the lease's end anew, also to an earlier time",
    async ({ store }) => {
      await submit(store);
      const held = await claim(store);
      await store.heartbeat(held, 1);
      strictEqual((await claimWhenReady(store)).takeover, true);
      await refused(store.heartbeat(held, LONG_LEASE_MS), "stale_epoch");
    },
  ],
  [
    "a leaf that is handed back is ready at once, with a note, and burns no attempt",
    async ({ store }) => {
      const { leafId } = await submit(store);
      await store.release(await claim(store), "brain drained");
      const leaf = await recordOf(store, leafId);
      deepStrictEqual([leaf.state, leaf.failedAttempts, leaf.notBeforeMs, leaf.worker], [LeafState.SUSPENDED, 0, 0n, undefined]);
      const event = (await logOf(store, leafId)).at(-1)?.event;
      ok(event?.case === "stateChanged" && event.value.note === "brain drained");
      const next = await claim(store);
      deepStrictEqual([next.leaf.leafId, next.takeover, next.leaf.claims], [leafId, false, 2]);
    },
  ],
  [
    "a dead worker's leaves are ready at once, and no other worker's",
    async ({ store, connect }) => {
      const dead = [await submit(store), await submit(store)].map((leaf) => leaf.leafId);
      await submit(store);
      await claim(store, LONG_LEASE_MS, "dead");
      await claim(store, LONG_LEASE_MS, "dead");
      const live = await claim(store, LONG_LEASE_MS, "alive");
      strictEqual(await (await connect()).releaseWorker("dead", "brain died"), 2);
      const taken = [await claim(store), await claim(store)];
      deepStrictEqual(
        taken.map(({ leaf, takeover }) => [leaf.leafId, takeover, leaf.failedAttempts]),
        dead.map((leafId) => [leafId, true, 0]),
      );
      await nothingReady(store);
      await store.heartbeat(live, LONG_LEASE_MS);
      const event = (await logOf(store, dead[0] ?? ""))[2]?.event;
      ok(event?.case === "stateChanged" && event.value.note === "brain died");
    },
  ],
  [
    "a worker that holds nothing has nothing to release",
    async ({ store }) => {
      await submit(store);
      const held = await claim(store);
      strictEqual(await store.releaseWorker("nobody", ""), 0);
      await store.finish(held, done(""), []);
      strictEqual(await store.releaseWorker("worker-1", ""), 0);
    },
  ],
];
