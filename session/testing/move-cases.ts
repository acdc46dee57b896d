import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { refusal } from "./build.ts";
import { fenceOf, loads, MINUTE_MS, placed, reported } from "./pool.ts";
import type { Case } from "./types.ts";

/** Sessions that leave a sandbox. */
export const moveCases: readonly Case[] = [
  [
    "a sandbox from which idle sessions were taken out is lighter by those",
    async ({ store }) => {
      await reported(store, "a", "b");
      const idle = ["s1", "s2", "s3"];
      deepStrictEqual([await placed(store, "s1"), await placed(store, "s2"), await placed(store, "s3")], ["a", "b", "a"]);
      for (const session of idle) await store.sandboxes.hold(fenceOf(session), 0);
      for (const session of ["s1", "s3"]) ok(await store.sandboxes.vacate(fenceOf(session), "a", ""));
      strictEqual(await placed(store, "s4"), "a");
    },
  ],
  [
    "until a session has settled it is remembered from where its files come, whatever becomes of the sandbox that it is in",
    async ({ store, connect }) => {
      await reported(store, "a");
      const first = await store.sandboxes.place(fenceOf("s"), {}, MINUTE_MS);
      deepStrictEqual([first.isNew, first.moved], [true, undefined]);
      deepStrictEqual((await store.sandboxes.place(fenceOf("s"), {}, MINUTE_MS)).isNew, false);
      await store.sandboxes.hold(fenceOf("s"), 0);
      await store.sandboxes.drain("a", true);
      const moved = { name: "a", address: "http://a:7444", isThere: true };
      await reported(store, "b");
      for (const isNew of [true, false]) {
        const placement = await (await connect()).sandboxes.place(fenceOf("s", { epoch: 2n }), {}, MINUTE_MS);
        deepStrictEqual([placement.sandbox.name, placement.isNew, placement.moved], ["b", isNew, moved]);
      }
      // It never got its files there.
      await store.sandboxes.remove("b");
      await reported(store, "c");
      const onwards = await store.sandboxes.place(fenceOf("s", { epoch: 3n }), {}, MINUTE_MS);
      deepStrictEqual([onwards.sandbox.name, onwards.isNew, onwards.moved], ["c", true, moved]);
      strictEqual(await store.sandboxes.settle(fenceOf("s", { epoch: 2n })), false);
      strictEqual(await store.sandboxes.settle(fenceOf("nobody")), false);
      // Back where they are, it has them.
      await store.sandboxes.hold(fenceOf("s", { epoch: 3n }), 0);
      await store.sandboxes.drain("a", false);
      await store.sandboxes.remove("c");
      const back = await store.sandboxes.place(fenceOf("s", { epoch: 4n }), {}, MINUTE_MS);
      deepStrictEqual([back.sandbox.name, back.isNew, back.moved], ["a", true, undefined]);
    },
  ],
  [
    "a session that was taken out of its sandbox goes on from the snapshot that was taken, until it has settled",
    async ({ store, connect }) => {
      await reported(store, "a");
      for (const id of ["held", "idle", "kept", "newer"]) await placed(store, id);
      for (const id of ["idle", "kept", "newer"]) await store.sandboxes.hold(fenceOf(id), 0);
      const session = (sessionId: string) => ({ tenant: "acme", sessionId, epoch: 1n });
      strictEqual(await store.sandboxes.vacate(session("held"), "a", "snap"), false);
      strictEqual(await store.sandboxes.vacate(session("idle"), "b", "snap"), false);
      strictEqual(await store.sandboxes.vacate(session("nobody"), "a", "snap"), false);
      await placed(store, "newer");
      await store.sandboxes.place(fenceOf("newer", { epoch: 2n }), {}, MINUTE_MS);
      await store.sandboxes.hold(fenceOf("newer", { epoch: 2n }), 0);
      strictEqual(await store.sandboxes.vacate(session("newer"), "a", "snap"), false);
      strictEqual((await refusal(store.sandboxes.vacate(session("idle"), "a", "a b"))).violations[0]?.field, "snapshot_id");
      strictEqual(await store.sandboxes.vacate(session("idle"), "a", "snap"), true);
      strictEqual(await store.sandboxes.vacate(session("idle"), "a", "snap"), false);
      deepStrictEqual(await loads(store), { a: [1, 3] });
      strictEqual(await store.sandboxes.hold(fenceOf("idle"), MINUTE_MS), "lost");
      for (const epoch of [2n, 3n]) {
        const { sandbox, moved, left, snapshotId } = await (await connect()).sandboxes.place(fenceOf("idle", { epoch }), {}, MINUTE_MS);
        deepStrictEqual([sandbox.name, moved, left, snapshotId], ["a", undefined, { name: "a", isThere: true }, "snap"]);
      }
      // One that has not settled goes on from what it would have.
      await store.sandboxes.hold(fenceOf("idle", { epoch: 3n }), 0);
      deepStrictEqual(
        (await store.sandboxes.idleIn("a", 10)).toSorted((x, y) => (x.sessionId < y.sessionId ? -1 : 1)),
        [
          { tenant: "acme", sessionId: "idle", epoch: 3n, isSettled: false },
          { tenant: "acme", sessionId: "kept", epoch: 1n, isSettled: true },
          { tenant: "acme", sessionId: "newer", epoch: 2n, isSettled: true },
        ],
      );
      deepStrictEqual(
        (await store.sandboxes.workingIn("a", 10)).map(({ sessionId, epoch }) => [sessionId, epoch]),
        [["held", 1n]],
      );
      deepStrictEqual([await store.sandboxes.workingIn("b", 10), (await store.sandboxes.idleIn("a", 1)).length], [[], 1]);
      strictEqual(await store.sandboxes.vacate({ ...session("idle"), epoch: 3n }, "a", "other"), true);
      strictEqual((await store.sandboxes.place(fenceOf("idle", { epoch: 4n }), {}, MINUTE_MS)).snapshotId, "snap");
      strictEqual(await store.sandboxes.settle(fenceOf("idle", { epoch: 4n })), true);
      const settled = await store.sandboxes.place(fenceOf("idle", { epoch: 5n }), {}, MINUTE_MS);
      deepStrictEqual([settled.snapshotId, settled.left], [undefined, undefined]);
      strictEqual(await store.sandboxes.vacate(session("kept"), "a", ""), true);
      await store.sandboxes.remove("a");
      await reported(store, "b");
      const { moved, left, snapshotId } = await store.sandboxes.place(fenceOf("kept"), {}, MINUTE_MS);
      deepStrictEqual([moved, left, snapshotId], [undefined, { name: "a", isThere: false }, undefined]);
    },
  ],
  [
    "a sandbox is told which sessions are elsewhere for good, and an owner that its sandbox is away",
    async ({ store, connect }) => {
      await reported(store, "a");
      for (const id of ["moves", "settles", "stays", "out"]) await placed(store, id);
      const sessions = ["moves", "settles", "stays", "out", "unknown"].map((sessionId) => ({ tenant: "acme", sessionId }));
      const a = { name: "a", stateId: "disk of a" };
      deepStrictEqual(await store.sandboxes.elsewhere(a, sessions), []);
      strictEqual(await store.sandboxes.hold(fenceOf("stays"), MINUTE_MS), "held");
      await store.sandboxes.drain("a", true);
      await reported(store, "b");
      for (const id of ["moves", "settles", "out"]) await store.sandboxes.hold(fenceOf(id), 0);
      for (const id of ["moves", "settles"]) await store.sandboxes.place(fenceOf(id, { epoch: 2n }), {}, MINUTE_MS);
      await store.sandboxes.settle(fenceOf("settles", { epoch: 2n }));
      await store.sandboxes.vacate({ tenant: "acme", sessionId: "out", epoch: 1n }, "a", "snap");
      const old = [
        { tenant: "acme", sessionId: "settles", epoch: 2n, isSettled: true },
        { tenant: "acme", sessionId: "out", epoch: 1n, isSettled: false },
      ];
      deepStrictEqual(await store.sandboxes.elsewhere(a, sessions), old);
      // It goes by another name now, and nobody says that it has lost anything.
      deepStrictEqual(await store.sandboxes.elsewhere({ name: "renamed", stateId: "disk of a" }, sessions), old);
      const where = await Promise.all(sessions.map(({ sessionId }) => store.sandboxes.where("acme", sessionId)));
      deepStrictEqual(where, [["b", "a"], ["b"], ["a"], [], []]);
      const later = await connect(() => Date.now() + 2 * 60 * MINUTE_MS);
      strictEqual(await later.sandboxes.hold(fenceOf("stays"), MINUTE_MS), "away");
      await reported(later, { name: "a", stateId: "a new disk" });
      strictEqual(await later.sandboxes.hold(fenceOf("stays"), MINUTE_MS), "away");
      await later.sandboxes.remove("a");
      strictEqual(await later.sandboxes.hold(fenceOf("stays"), MINUTE_MS), "away");
    },
  ],
];
