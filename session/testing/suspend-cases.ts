import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { LeafState } from "@serverless-harness/proto/leaf";
import type { Wait } from "../contract/waiting.ts";
import {
  approval,
  claim,
  claimWhenReady,
  delta,
  done,
  failureOf,
  follow,
  gateOf,
  LONG_LEASE_MS,
  lastChange,
  logOf,
  NEVER,
  nothingReady,
  recordOf,
  refused,
  submit,
  words,
} from "./build.ts";
import type { Case } from "./types.ts";

const INVALID: readonly (readonly [string, Wait])[] = [
  ["an empty wake key", { wakeKey: "" }],
  ["a wake key of 129 characters", { wakeKey: "k".repeat(129) }],
  ["33 gates", { gateIds: Array.from({ length: 33 }, (_, i) => `g${i}`) }],
  ["a time that is none", { notBeforeMs: Number.NaN }],
  ["a time before the Unix epoch", { notBeforeMs: -1 }],
];

export const suspendCases: readonly Case[] = [
  [
    "a leaf that waits for a key is suspended until it is woken, whatever time passes",
    async ({ store, connect }) => {
      const { leafId } = await submit(store);
      await store.suspend(await claim(store), { wakeKey: "k1" }, "a command runs", [delta("so far")]);
      const leaf = await recordOf(store, leafId);
      deepStrictEqual([leaf.state, leaf.notBeforeMs, leaf.worker, leaf.failedAttempts], [LeafState.SUSPENDED, 0n, undefined, 0]);
      deepStrictEqual(words(await logOf(store, leafId)), ["queued", "running", "so far", "suspended"]);
      deepStrictEqual(await lastChange(store, leafId), [LeafState.SUSPENDED, 0, "a command runs"]);
      await nothingReady(await connect());
      deepStrictEqual(await store.backlog(), { ready: 0, running: 0 });
    },
  ],
  [
    "a leaf that waits for a time is ready from then on",
    async ({ store, connect }) => {
      const { leafId } = await submit(store);
      // So far off that it is not over before it was looked at, however slow the machine is.
      const far = Date.now() + 600_000;
      await store.suspend(await claim(store), { notBeforeMs: far, wakeKey: "k1" }, "later", []);
      deepStrictEqual([(await recordOf(store, leafId)).notBeforeMs, (await store.backlog()).nextDueMs], [BigInt(far), far]);
      deepStrictEqual(await lastChange(store, leafId), [LeafState.SUSPENDED, far, "later"]);
      strictEqual(await store.wake(leafId, "k1"), true);
      const at = Date.now() + 30;
      await store.suspend(await claim(store), { notBeforeMs: at, wakeKey: "k2" }, "later", []);
      const next = await claimWhenReady(await connect());
      deepStrictEqual([next.leaf.leafId, next.takeover, next.leaf.notBeforeMs, next.leaf.failedAttempts], [leafId, false, 0n, 0]);
      ok(BigInt(at) <= next.leaf.updatedAtMs);
    },
  ],
  [
    "a leaf that waits for gates awaits approval until the earliest deadline of them, or the time that is given",
    async ({ store }) => {
      const now = Date.now();
      for (const [notBeforeMs, due] of [
        [undefined, now + 200_000],
        [now + 100_000, now + 100_000],
        [now + 900_000, now + 200_000],
      ] as const) {
        const { leafId } = await submit(store);
        const held = await claim(store);
        await store.openGate(held, gateOf("never"));
        await store.openGate(held, gateOf("late", { deadlineMs: BigInt(now + 300_000) }));
        await store.openGate(held, gateOf("early", { deadlineMs: BigInt(now + 200_000) }));
        await store.openGate(held, gateOf("not asked", { deadlineMs: BigInt(now + 50_000) }));
        const wait = { gateIds: ["never", "late", "early"], ...(notBeforeMs === undefined ? {} : { notBeforeMs }) };
        await store.suspend(held, wait, "", []);
        const leaf = await recordOf(store, leafId);
        deepStrictEqual([leaf.state, leaf.notBeforeMs], [LeafState.AWAITING_APPROVAL, BigInt(due)]);
        deepStrictEqual(await lastChange(store, leafId), [LeafState.AWAITING_APPROVAL, due, ""]);
        strictEqual((await store.backlog()).nextDueMs, Math.min(due, (await store.backlog()).nextDueMs ?? 0));
      }
    },
  ],
  [
    "a leaf that waits for a gate without a deadline is never due by itself",
    async ({ store }) => {
      await submit(store);
      const held = await claim(store);
      await store.openGate(held, gateOf("g"));
      await store.suspend(held, { gateIds: ["g"] }, "", []);
      await nothingReady(store);
      deepStrictEqual(await store.backlog(), { ready: 0, running: 0 });
    },
  ],
  [
    "a leaf that waits for nothing, or for a time that is over, is ready at once",
    async ({ store }) => {
      const { leafId } = await submit(store);
      for (const wait of [{}, { notBeforeMs: Date.now() - 1 }, { notBeforeMs: Date.now() - 1, wakeKey: "k" }]) {
        await store.suspend(await claim(store), wait, "on it goes", []);
        const leaf = await recordOf(store, leafId);
        deepStrictEqual([leaf.state, leaf.notBeforeMs, (await store.backlog()).ready], [LeafState.SUSPENDED, 0n, 1]);
        deepStrictEqual(await lastChange(store, leafId), [LeafState.SUSPENDED, 0, "on it goes"]);
      }
    },
  ],
  [
    "a gate that was decided before its leaf suspends, or whose deadline is over, holds it up no more",
    async ({ store }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      await store.openGate(held, gateOf("g"));
      await store.openGate(held, gateOf("open"));
      await store.decide(leafId, "g", approval());
      await store.suspend(held, { gateIds: ["open", "g"] }, "asks", []);
      deepStrictEqual(await lastChange(store, leafId), [LeafState.SUSPENDED, 0, "asks"]);
      const next = await claim(store);
      const soon = Date.now() + 20;
      await store.openGate(next, gateOf("brief", { deadlineMs: BigInt(soon) }));
      await store.heartbeat(next, Math.max(1, soon - Date.now()));
      await store.waitForWork(LONG_LEASE_MS, NEVER);
      await store.suspend(next, { gateIds: ["brief"] }, "asks", []);
      strictEqual((await claim(store)).leaf.leafId, leafId);
    },
  ],
  [
    "a leaf that waits holds up those behind it on its session, and nobody else",
    async ({ store, connect }) => {
      const first = await submit(store, { sessionId: "s" });
      const second = await submit(store, { sessionId: "s" });
      await store.suspend(await claim(store), { wakeKey: "k" }, "", []);
      await nothingReady(store);
      const other = await submit(store, { sessionId: "t" });
      strictEqual((await claim(await connect())).leaf.leafId, other.leafId);
      await nothingReady(store);
      await store.wake(first.leafId, "k");
      await store.finish(await claim(store), done(""), []);
      strictEqual((await claim(store)).leaf.leafId, second.leafId);
    },
  ],
  [
    "a worker that is known to be dead has no part in a leaf that waits",
    async ({ store }) => {
      await submit(store);
      await store.suspend(await claim(store, LONG_LEASE_MS, "dead"), { wakeKey: "k" }, "", []);
      strictEqual(await store.releaseWorker("dead", "died"), 0);
      await nothingReady(store);
    },
  ],
  [
    "waiting for a gate that the leaf does not have is refused, and the claim goes on",
    async ({ store }) => {
      await submit(store);
      const held = await claim(store);
      await refused(store.suspend(held, { gateIds: ["nobody's"] }, "", [delta("unsaid")]), "gate_not_found");
      deepStrictEqual(words(await logOf(store, held.leaf.leafId)), ["queued", "running"]);
      await store.finish(held, done(""), []);
    },
  ],
  ...INVALID.map(
    ([what, wait]): Case => [
      `waiting for ${what} is refused, and the claim goes on`,
      async ({ store }) => {
        await submit(store);
        const held = await claim(store);
        await refused(store.suspend(held, wait, "", []), "invalid_argument");
        await store.finish(held, done(""), []);
      },
    ],
  ),
];

export const wakeCases: readonly Case[] = [
  [
    "a leaf that waits for a key is ready when it is woken with it, once, and its log says so",
    async ({ store, connect }) => {
      const other = await connect();
      const { leafId } = await submit(store);
      await store.suspend(await claim(store), { wakeKey: "k", notBeforeMs: Date.now() + LONG_LEASE_MS }, "", []);
      strictEqual(await other.wake(leafId, "k"), true);
      deepStrictEqual(await lastChange(store, leafId), [LeafState.SUSPENDED, 0, "woken"]);
      deepStrictEqual([(await recordOf(store, leafId)).notBeforeMs, (await store.backlog()).ready], [0n, 1]);
      strictEqual(await other.wake(leafId, "k"), false);
      const next = await claim(store);
      deepStrictEqual([next.leaf.leafId, next.takeover], [leafId, false]);
      strictEqual(await other.wake(leafId, "k"), false);
      deepStrictEqual(words(await logOf(store, leafId)), ["queued", "running", "suspended", "suspended", "running"]);
    },
  ],
  [
    "a wake that comes before its leaf suspends is not lost",
    async ({ store, connect }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      strictEqual(await (await connect()).wake(leafId, "k"), true);
      deepStrictEqual(words(await logOf(store, leafId)), ["queued", "running"]);
      await store.suspend(held, { wakeKey: "k" }, "waits", []);
      deepStrictEqual(await lastChange(store, leafId), [LeafState.SUSPENDED, 0, "waits"]);
      const next = await claim(store);
      strictEqual(await store.wake(leafId, "k"), false);
      await store.suspend(next, { wakeKey: "k2" }, "", []);
      await nothingReady(store);
    },
  ],
  [
    "a session's leaf that waits for a key can be roused without it, if nobody will wake it; no other leaf is",
    async ({ store, connect }) => {
      const other = await connect();
      const { leafId, spec } = await submit(store);
      const { tenant = "", sessionId = "" } = spec ?? {};
      const held = await claim(store);
      strictEqual(await other.rouse(tenant, sessionId, "gone"), false);
      await store.suspend(held, { notBeforeMs: Date.now() + LONG_LEASE_MS }, "", []);
      strictEqual(await other.rouse(tenant, sessionId, "gone"), false);
      strictEqual(await other.rouse(tenant, "nobody", "gone"), false);
      const next = await submit(store);
      await store.suspend(await claim(store), { wakeKey: "k", notBeforeMs: Date.now() + LONG_LEASE_MS }, "", []);
      strictEqual(await other.rouse(next.spec?.tenant ?? "", next.spec?.sessionId ?? "", "its sandbox is gone"), true);
      deepStrictEqual(await lastChange(store, next.leafId), [LeafState.SUSPENDED, 0, "its sandbox is gone"]);
      strictEqual(await other.rouse(next.spec?.tenant ?? "", next.spec?.sessionId ?? "", "again"), false);
      deepStrictEqual([(await claim(store)).leaf.leafId, (await recordOf(store, leafId)).state], [next.leafId, LeafState.SUSPENDED]);
    },
  ],
  [
    "a wake with another key wakes nobody, and is kept for who waits for it",
    async ({ store }) => {
      const { leafId } = await submit(store);
      await store.suspend(await claim(store), { wakeKey: "k" }, "", []);
      strictEqual(await store.wake(leafId, "other"), true);
      await nothingReady(store);
      strictEqual(await store.wake(leafId, "k"), true);
      await store.suspend(await claim(store), { wakeKey: "other" }, "", []);
      strictEqual((await claim(store)).leaf.leafId, leafId);
    },
  ],
  [
    "a wake of a leaf that is unknown or over, or with a key that can't be one, does nothing",
    async ({ store }) => {
      strictEqual(await store.wake("leaf-nobody", "k"), false);
      const { leafId } = await submit(store);
      const held = await claim(store);
      for (const key of ["", "k".repeat(129)]) strictEqual(await store.wake(leafId, key), false);
      await store.finish(held, done(""), []);
      strictEqual(await store.wake(leafId, "k"), false);
      deepStrictEqual(words(await logOf(store, leafId)), ["queued", "running", "done"]);
    },
  ],
  [
    "a leaf whose time came can be woken no more, for it runs already",
    async ({ store }) => {
      const { leafId } = await submit(store);
      await store.suspend(await claim(store), { wakeKey: "k", notBeforeMs: Date.now() + 20 }, "", []);
      const held = await claimWhenReady(store);
      await store.wake(leafId, "k");
      deepStrictEqual(words(await logOf(store, leafId)), ["queued", "running", "suspended", "running"]);
      await store.finish(held, done(""), []);
    },
  ],
  [
    "a wake is kept over a failed attempt and its wait",
    async ({ store }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      await store.wake(leafId, "k");
      await store.retry(held, failureOf("x"), 0, []);
      await store.suspend(await claim(store), { wakeKey: "k" }, "", []);
      strictEqual((await claim(store)).leaf.leafId, leafId);
    },
  ],
  [
    "many wakes at once end a wait once",
    async ({ store, connect }) => {
      const stores = [store, await connect(), await connect()];
      const { leafId } = await submit(store);
      await store.suspend(await claim(store), { wakeKey: "k" }, "", []);
      const woken = await Promise.all(Array.from({ length: 12 }, async (_, i) => stores[i % 3]?.wake(leafId, "k")));
      strictEqual(woken.filter((each) => each === true).length, 1);
      deepStrictEqual(words(await logOf(store, leafId)), ["queued", "running", "suspended", "suspended"]);
    },
  ],
  [
    "waiting workers and followers in other processes learn of a wake",
    async ({ store, connect }) => {
      const other = await connect();
      const { leafId } = await submit(store);
      await store.suspend(await claim(store), { wakeKey: "k" }, "", []);
      const [waiting, following] = [other.waitForWork(LONG_LEASE_MS, NEVER), follow(other, leafId)];
      await store.wake(leafId, "k");
      await waiting;
      await store.finish(await claim(store), done(""), []);
      deepStrictEqual(words(await following), ["queued", "running", "suspended", "suspended", "running", "done"]);
    },
  ],
];
