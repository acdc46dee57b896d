import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { LeafStore } from "../contract/leaf-store.ts";
import type { ClaimedNotice, Notice } from "../contract/notices.ts";
import { approval, claim, done, failed, failureOf, gateOf, LONG_LEASE_MS, logOf, NEVER, refused, specOf, submit, words } from "./build.ts";
import type { Case } from "./types.ts";

/** Submit a leaf that somebody is to be told of. */
async function told(store: LeafStore, tenant = "acme", fields: Parameters<typeof specOf>[0] = {}): Promise<string> {
  return (await store.submit({ spec: specOf({ tenant, ...fields }), idempotencyKey: "", notify: true })).leaf.leafId;
}

/** Submit a leaf and end it. */
async function ended(store: LeafStore, tenant = "acme"): Promise<string> {
  const leafId = await told(store, tenant);
  await store.finish(await claim(store), done(""), []);
  return leafId;
}

/** The event that a notice is of, in a word. */
async function wordOf(store: LeafStore, { leafId, seq }: Notice): Promise<string | undefined> {
  return words(await logOf(store, leafId))[Number(seq) - 1];
}

/** Take every notice that is due, and say that it is done. */
async function takeAll(store: LeafStore): Promise<ClaimedNotice[]> {
  const all: ClaimedNotice[] = [];
  for (;;) {
    const claimed = await store.claimNotices(100, [], LONG_LEASE_MS);
    if (claimed.length === 0) return all;
    for (const notice of claimed) strictEqual(await store.settleNotice(notice, { kind: "done" }), true);
    all.push(...claimed);
  }
}

/** The one notice that is due. */
async function one(store: LeafStore, leaseMs = LONG_LEASE_MS): Promise<ClaimedNotice> {
  const [notice, ...more] = await store.claimNotices(10, [], leaseMs);
  if (notice === undefined || more.length > 0) throw new Error(`${notice === undefined ? 0 : 1 + more.length} notices were due`);
  return notice;
}

const asNotice = ({ tenant, leafId, seq, note }: Notice): Notice => ({ tenant, leafId, seq, note });

export const noticeCases: readonly Case[] = [
  [
    "a gate that is opened and each end are noticed, of leaves that were submitted so and of no other",
    async ({ store }) => {
      const leafId = await told(store);
      const held = await claim(store);
      await store.openGate(held, gateOf("g"));
      await store.openGate(held, gateOf("g"));
      await store.decide(leafId, "g", approval());
      await store.retry(held, failureOf("x"), 0, []);
      await store.finish(await claim(store), failed("x"), []);
      await store.redrive(leafId, false);
      await store.finish(await claim(store), done(""), []);
      await submit(store);
      const silent = await claim(store);
      await store.openGate(silent, gateOf("g"));
      await store.finish(silent, done(""), []);
      const all = await takeAll(store);
      deepStrictEqual(
        all.map((each) => [each.leafId, each.tenant, each.note]),
        Array(3).fill([leafId, "acme", ""]),
      );
      deepStrictEqual(await Promise.all(all.map((each) => wordOf(store, each))), ["gateOpened", "failed", "done"]);
    },
  ],
  [
    "an end by a cancel in the queue and one by a deadline are noticed as well",
    async ({ store, connect }) => {
      const [cancelled, late] = [await told(store, "a"), await told(store, "b", { limits: { deadlineMs: 1n } })];
      await store.cancel(cancelled, "");
      const later = await connect(() => Date.now() + 60_000);
      strictEqual(await later.endOverdue(0, 10), 1);
      const all = (await takeAll(later)).sort((x, y) => (x.tenant < y.tenant ? -1 : 1));
      deepStrictEqual(
        all.map((each) => each.leafId),
        [cancelled, late],
      );
      deepStrictEqual(await Promise.all(all.map((each) => wordOf(store, each))), ["cancelled", "failed"]);
    },
  ],
  [
    "an owner that was refused leaves no notice",
    async ({ store }) => {
      await told(store);
      const old = await claim(store);
      await store.release(old, "");
      await claim(store);
      await refused(store.finish(old, done(""), []), "stale_epoch");
      deepStrictEqual(await store.claimNotices(10, [], LONG_LEASE_MS), []);
    },
  ],
  [
    "a notice that was claimed is nobody else's until the claim's time is over, and then the first claim says nothing any more",
    async ({ store, connect }) => {
      const leafId = await ended(store);
      const first = await one(store);
      deepStrictEqual(await store.claimNotices(10, [], LONG_LEASE_MS), []);
      const later = await connect(() => Date.now() + LONG_LEASE_MS + 1000);
      const second = await one(later);
      deepStrictEqual(asNotice(second), { tenant: "acme", leafId, seq: 3n, note: "" });
      ok(second.claimedAtMs > first.claimedAtMs + LONG_LEASE_MS);
      for (const end of [{ kind: "done" }, { kind: "dead", note: "x" }, { kind: "later", note: "x", dueMs: 0 }] as const)
        strictEqual(await store.settleNotice(first, end), false);
      strictEqual(await later.settleNotice(second, { kind: "done" }), true);
      strictEqual(await later.settleNotice(second, { kind: "done" }), false);
      deepStrictEqual(await (await connect(() => Date.now() + 9 * LONG_LEASE_MS)).claimNotices(10, [], LONG_LEASE_MS), []);
    },
  ],
  [
    "of many that claim at once each gets what no other has",
    async ({ store, connect }) => {
      const ids = await Promise.all(Array.from({ length: 12 }, (_, i) => told(store, `t${i}`)));
      for (const id of ids) await store.cancel(id, "");
      const handles = await Promise.all(Array.from({ length: 6 }, () => connect()));
      const claimed = (await Promise.all(handles.map((handle) => handle.claimNotices(12, [], LONG_LEASE_MS)))).flat();
      deepStrictEqual(claimed.map((each) => each.leafId).sort(), [...ids].sort());
    },
  ],
  [
    "a claim takes one of each tenant and none of those that are skipped, however many wait",
    async ({ store }) => {
      for (let i = 0; i < 6; i++) await ended(store, "busy");
      await ended(store, "calm");
      const tenants = async (limit: number, skip: string[]): Promise<string[]> =>
        (await store.claimNotices(limit, skip, LONG_LEASE_MS)).map((each) => each.tenant).sort();
      deepStrictEqual(await tenants(10, []), ["busy", "calm"]);
      deepStrictEqual(await tenants(10, []), ["busy"]);
      deepStrictEqual(await tenants(10, ["busy"]), []);
      await ended(store, "calm");
      deepStrictEqual(await tenants(10, ["busy"]), ["calm"]);
      await ended(store, "other");
      strictEqual((await tenants(1, [])).length, 1);
    },
  ],
  [
    "a notice that is told later comes back at its time with its note",
    async ({ store, connect }) => {
      await ended(store);
      const first = await one(store);
      strictEqual(await store.settleNotice(first, { kind: "later", note: '{"attempts":1}', dueMs: first.claimedAtMs + 30_000 }), true);
      deepStrictEqual(await store.claimNotices(10, [], LONG_LEASE_MS), []);
      const later = await connect(() => Date.now() + 31_000);
      strictEqual((await one(later)).note, '{"attempts":1}');
    },
  ],
  [
    "what was given up is listed, newest leaf first and in pages, and told again when it is revived",
    async ({ store }) => {
      const ids: string[] = [];
      for (let i = 0; i < 5; i++) {
        ids.push(await ended(store));
        strictEqual(await store.settleNotice(await one(store), { kind: "dead", note: `n${i}` }), true);
      }
      await ended(store, "other");
      strictEqual(await store.settleNotice(await one(store), { kind: "dead", note: "n" }), true);
      const pages: string[][] = [];
      let pageToken: string | undefined;
      do {
        const page = await store.deadNotices("acme", 2, pageToken);
        pages.push(page.notices.map((each) => each.note));
        pageToken = page.nextPageToken;
      } while (pageToken !== undefined);
      const order = [...ids].sort().reverse();
      const notes = order.map((id) => `n${ids.indexOf(id)}`);
      deepStrictEqual(pages, [notes.slice(0, 2), notes.slice(2, 4), notes.slice(4)]);
      const leafId = ids[1] ?? "";
      deepStrictEqual(await store.deadNotice(leafId, 3n), { tenant: "acme", leafId, seq: 3n, note: "n1" });
      deepStrictEqual([await store.deadNotice(leafId, 2n), await store.deadNotice("leaf_unknown", 3n)], [undefined, undefined]);
      deepStrictEqual(await store.claimNotices(10, [], LONG_LEASE_MS), []);
      deepStrictEqual([await store.reviveNotice(leafId, 3n, "again"), await store.reviveNotice(leafId, 3n, "again")], [true, false]);
      deepStrictEqual(asNotice(await one(store)), { tenant: "acme", leafId, seq: 3n, note: "again" });
      strictEqual((await store.deadNotices("acme", 10)).notices.length, 4);
    },
  ],
  [
    "a page token of notices goes on in its own tenant's listing only",
    async ({ store }) => {
      for (let i = 0; i < 2; i++) {
        await ended(store);
        await store.settleNotice(await one(store), { kind: "dead", note: "" });
      }
      const { nextPageToken = "" } = await store.deadNotices("acme", 1);
      await refused(store.deadNotices("other", 1, nextPageToken), "invalid_argument");
      await refused(store.deadNotices("acme", 1, "nonsense"), "invalid_argument");
      await refused(store.deadNotices("acme", 0), "invalid_argument");
    },
  ],
  [
    "waiting for notices ends when another process writes or revives one, and for one that is due by time alone",
    async ({ store, connect }) => {
      const other = await connect();
      const waits = async (make: () => Promise<unknown>): Promise<void> => {
        const wait = other.waitForNotices([], LONG_LEASE_MS, NEVER);
        await make();
        await wait;
      };
      await waits(() => ended(store));
      const first = await one(store);
      await waits(() => store.settleNotice(first, { kind: "later", note: "", dueMs: first.claimedAtMs + 50 }));
      const [second] = await other.claimNotices(10, [], 20);
      await other.waitForNotices([], LONG_LEASE_MS, NEVER);
      const third = await one(other);
      strictEqual(third.leafId, second?.leafId);
      await store.settleNotice(third, { kind: "dead", note: "" });
      await waits(() => store.reviveNotice(third.leafId, third.seq, ""));
    },
  ],
  [
    "waiting for notices goes on for tenants that are skipped, and ends after its time and when it is aborted",
    async ({ store }) => {
      await ended(store, "busy");
      await store.waitForNotices(["busy"], 5, NEVER);
      await store.waitForNotices([], LONG_LEASE_MS, NEVER);
      await store.waitForNotices(["busy"], LONG_LEASE_MS, AbortSignal.abort());
      const abort = new AbortController();
      let ends = false;
      const wait = store.waitForNotices(["busy"], LONG_LEASE_MS, abort.signal).then(() => {
        ends = true;
      });
      await store.waitForNotices(["busy"], 5, NEVER);
      strictEqual(ends, false);
      abort.abort();
      await wait;
    },
  ],
  [
    "a leaf that is removed takes its notices along",
    async ({ store }) => {
      const leafId = await ended(store);
      await store.settleNotice(await one(store), { kind: "dead", note: "" });
      await ended(store);
      strictEqual(await store.sweep({ leafMs: 0, tombstoneMs: LONG_LEASE_MS }, 10), 2);
      deepStrictEqual(await store.claimNotices(10, [], LONG_LEASE_MS), []);
      deepStrictEqual((await store.deadNotices("acme", 10)).notices, []);
      strictEqual(await store.reviveNotice(leafId, 3n, ""), false);
    },
  ],
];
