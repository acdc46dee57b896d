import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { Code } from "@connectrpc/connect";
import type { SandboxReport } from "../contract/sandboxes.ts";
import { refusal } from "./build.ts";
import { fenceOf, loads, MINUTE_MS, placed, reported } from "./pool.ts";
import type { Case } from "./types.ts";

export const sandboxCases: readonly Case[] = [
  [
    "a sandbox is known as it was reported, last, and every handle sees it",
    async ({ store, connect }) => {
      await reported(store, "b", { name: "a", labels: { gpu: "a100", "image/é": "" }, tenant: "acme", capacity: 3 });
      await reported(store, { name: "b", address: "unix:/b", stateId: "another" });
      const { sandboxes, nowMs } = await (await connect()).sandboxes.list();
      const [a, b, ...others] = sandboxes;
      deepStrictEqual(others, []);
      deepStrictEqual([a?.name, a?.labels, a?.tenant, a?.capacity], ["a", { gpu: "a100", "image/é": "" }, "acme", 3]);
      deepStrictEqual([b?.name, b?.address, b?.stateId, b?.labels, b?.draining], ["b", "unix:/b", "another", {}, false]);
      strictEqual(Math.round((Number(b?.aliveUntilMs) - nowMs) / MINUTE_MS), 60);
    },
  ],
  [
    "a session goes to the least loaded sandbox and stays there",
    async ({ store, connect }) => {
      await reported(store, "a", "b", "c");
      const first = [await placed(store, "s1"), await placed(store, "s2"), await placed(store, "s3")];
      deepStrictEqual(first.toSorted(), ["a", "b", "c"]);
      const other = await connect();
      deepStrictEqual([await placed(other, "s1"), await placed(other, "s2"), await placed(other, "s3")], first);
      deepStrictEqual(await loads(other), { a: [1, 1], b: [1, 1], c: [1, 1] });
    },
  ],
  [
    "a lease that ended, or was let go of, takes no room, and the session stays where it is",
    async ({ store, connect }) => {
      await reported(store, { name: "a", capacity: 1 });
      strictEqual(await placed(store, "s1", {}, MINUTE_MS), "a");
      const full = await refusal(store.sandboxes.place(fenceOf("s2"), {}, MINUTE_MS));
      deepStrictEqual([full.code, full.reason], [Code.ResourceExhausted, "sandboxes_full"]);
      const later = await connect(() => Date.now() + 2 * MINUTE_MS);
      deepStrictEqual(await loads(later), { a: [0, 1] });
      strictEqual(await placed(later, "s2", {}, MINUTE_MS), "a");
      strictEqual(await later.sandboxes.hold(fenceOf("s2"), 0), "held");
      strictEqual(await placed(later, "s1"), "a");
      deepStrictEqual(await loads(later), { a: [1, 2] });
    },
  ],
  [
    "a lease is prolonged by its owner",
    async ({ store, connect }) => {
      await reported(store, "a");
      await placed(store, "s", {}, MINUTE_MS);
      strictEqual(await store.sandboxes.hold(fenceOf("s"), 10 * MINUTE_MS), "held");
      deepStrictEqual(await loads(await connect(() => Date.now() + 5 * MINUTE_MS)), { a: [1, 1] });
      strictEqual(await store.sandboxes.hold(fenceOf("nobody"), MINUTE_MS), "lost");
    },
  ],
  [
    "a session whose sandbox is full goes elsewhere, unless it still has a lease there",
    async ({ store }) => {
      await reported(store, { name: "a", capacity: 1 });
      await placed(store, "sleeper");
      await store.sandboxes.hold(fenceOf("sleeper"), 0);
      await placed(store, "holder");
      await reported(store, "b");
      strictEqual(await placed(store, "holder"), "a");
      const { sandbox, moved } = await store.sandboxes.place(fenceOf("sleeper"), {}, MINUTE_MS);
      deepStrictEqual([sandbox.name, sandbox.working, sandbox.placed], ["b", 1, 1]);
      deepStrictEqual(moved, { name: "a", address: "http://a:7444", isThere: true });
      deepStrictEqual(await loads(store), { a: [1, 1], b: [1, 1] });
      strictEqual(await store.sandboxes.settle(fenceOf("sleeper")), true);
      strictEqual((await store.sandboxes.place(fenceOf("sleeper"), {}, MINUTE_MS)).moved, undefined);
    },
  ],
  [
    "the sessions of a sandbox that is away go elsewhere; those of one that came back in time stay",
    async ({ store, connect }) => {
      await reported(store, "a");
      await placed(store, "s1");
      await placed(store, "s2");
      const later = await connect(() => Date.now() + 2 * 60 * MINUTE_MS);
      const away = await refusal(later.sandboxes.place(fenceOf("s1"), {}, MINUTE_MS));
      deepStrictEqual([away.code, away.reason], [Code.Unavailable, "no_sandbox"]);
      await reported(later, "b");
      const { sandbox, moved } = await later.sandboxes.place(fenceOf("s1"), {}, MINUTE_MS);
      deepStrictEqual([sandbox.name, moved], ["b", { name: "a", address: "http://a:7444", isThere: false }]);
      await reported(later, "a");
      strictEqual(await placed(later, "s2"), "a");
      strictEqual(await placed(later, "s1"), "b");
    },
  ],
  [
    "a sandbox that came back with another disk has none of its sessions any more",
    async ({ store }) => {
      await reported(store, "a");
      await placed(store, "s");
      await reported(store, { name: "a", stateId: "a new disk" });
      const { sandbox, moved } = await store.sandboxes.place(fenceOf("s"), {}, MINUTE_MS);
      deepStrictEqual([sandbox.name, moved], ["a", { name: "a", address: "http://a:7444", isThere: false }]);
      await store.sandboxes.settle(fenceOf("s"));
      strictEqual((await store.sandboxes.place(fenceOf("s"), {}, MINUTE_MS)).moved, undefined);
    },
  ],
  [
    "a sandbox that drains keeps the sessions that have a lease and takes no others, also when it is reported again",
    async ({ store }) => {
      await reported(store, "a");
      await placed(store, "holder");
      await placed(store, "sleeper");
      await store.sandboxes.hold(fenceOf("sleeper"), 0);
      strictEqual((await store.sandboxes.drain("a", true)).draining, true);
      await reported(store, "a");
      strictEqual(await placed(store, "holder"), "a");
      strictEqual((await refusal(store.sandboxes.place(fenceOf("new"), {}, MINUTE_MS))).reason, "no_sandbox");
      deepStrictEqual(await store.sandboxes.idleIn("a", 10), [{ tenant: "acme", sessionId: "sleeper", epoch: 1n, isSettled: true }]);
      await reported(store, "b");
      deepStrictEqual([await placed(store, "new"), await placed(store, "sleeper")], ["b", "b"]);
      deepStrictEqual(await store.sandboxes.idleIn("a", 10), []);
      strictEqual((await store.sandboxes.drain("a", false)).draining, false);
      strictEqual(await placed(store, "newer"), "a");
      strictEqual((await refusal(store.sandboxes.drain("nobody", true))).reason, "sandbox_not_found");
    },
  ],
  [
    "a session gets a sandbox with all the labels that it wants, and none of another tenant",
    async ({ store }) => {
      await reported(store, "plain", { name: "gpu", labels: { gpu: "a100", zone: "1" } }, { name: "own", tenant: "umbrella" });
      strictEqual(await placed(store, "s1", { labels: { gpu: "a100" } }), "gpu");
      strictEqual(await placed(store, "s2", { labels: { gpu: "a100", zone: "1" } }), "gpu");
      strictEqual(await placed(store, "s3"), "plain");
      strictEqual(await placed(store, "s4"), "plain");
      for (const labels of [{ gpu: "h100" }, { gpu: "a100", zone: "2" }, { toString: "" }]) {
        const { reason, message } = await refusal(store.sandboxes.place(fenceOf("s5"), { labels }, MINUTE_MS));
        strictEqual(reason, "no_sandbox");
        ok(message.includes(Object.entries(labels).map((pair) => pair.join("="))[0] ?? "?"));
      }
      const { sandbox } = await store.sandboxes.place(fenceOf("s1", { tenant: "umbrella" }), {}, MINUTE_MS);
      strictEqual(sandbox.name, "own");
      // One that wants more now than its sandbox has is moved.
      strictEqual(await placed(store, "s3", { labels: { zone: "1" } }), "gpu");
    },
  ],
  [
    "a session is placed near another one of its tenant if there is room",
    async ({ store }) => {
      await reported(store, { name: "a", capacity: 2 }, { name: "b", capacity: 9 }, "c");
      const parent = await placed(store, "parent");
      strictEqual(parent, "a");
      strictEqual(await placed(store, "child", { near: "parent" }), "a");
      ok((await placed(store, "late child", { near: "parent" })) !== "a");
      ok((await placed(store, "orphan", { near: "nobody" })) !== "a");
      // One that needs its files waits for room, unless there will be none.
      strictEqual((await refusal(store.sandboxes.place(fenceOf("copy"), { copyOf: "parent" }, MINUTE_MS))).reason, "sandboxes_full");
      ok((await placed(store, "copy of nothing", { copyOf: "nobody" })) !== "a");
      await store.sandboxes.hold(fenceOf("child"), 0);
      strictEqual(await placed(store, "copy", { copyOf: "parent" }), "a");
      await store.sandboxes.drain("a", true);
      ok((await placed(store, "late copy", { copyOf: "parent" })) !== "a");
    },
  ],
  [
    "an owner that is no longer one places nothing and holds nothing",
    async ({ store }) => {
      await reported(store, "a");
      await store.sandboxes.place(fenceOf("s", { epoch: 5n }), {}, MINUTE_MS);
      const stale = await refusal(store.sandboxes.place(fenceOf("s", { epoch: 4n }), {}, MINUTE_MS));
      deepStrictEqual([stale.code, stale.reason], [Code.FailedPrecondition, "stale_epoch"]);
      strictEqual(await store.sandboxes.hold(fenceOf("s", { epoch: 4n }), 0), "lost");
      deepStrictEqual(await loads(store), { a: [1, 1] });
      await store.sandboxes.place(fenceOf("s", { epoch: 6n }), {}, MINUTE_MS);
      strictEqual(await store.sandboxes.hold(fenceOf("s", { epoch: 6n }), 0), "held");
    },
  ],
  [
    "the sessions of a sandbox that was removed go elsewhere, and one that is no more takes no place",
    async ({ store }) => {
      await reported(store, "a");
      await placed(store, "s é/x");
      await placed(store, "t");
      strictEqual(await store.sandboxes.remove("a"), true);
      strictEqual(await store.sandboxes.remove("a"), false);
      deepStrictEqual((await store.sandboxes.list()).sandboxes, []);
      await reported(store, "b");
      const { sandbox, moved } = await store.sandboxes.place(fenceOf("s é/x"), {}, MINUTE_MS);
      deepStrictEqual([sandbox.name, moved], ["b", { name: "a", address: "", isThere: false }]);
      await store.sandboxes.forget("acme", "s é/x");
      await store.sandboxes.forget("acme", "nobody");
      deepStrictEqual(await loads(store), { b: [0, 0] });
    },
  ],
  [
    "many who place at once fill no sandbox beyond its capacity, and load all alike",
    async ({ store, connect }) => {
      const other = await connect();
      await reported(store, ...["a", "b", "c", "d"].map((name) => ({ name, capacity: 10 })));
      const sessions = Array.from({ length: 50 }, (_, i) => `s${i}`);
      const outcomes = await Promise.all(
        sessions.flatMap((session) => [store, other].map((each) => placed(each, session).catch((error) => error.reason as string))),
      );
      // Both who placed one session got the same answer.
      const pairs = sessions.map((_, i) => [outcomes[2 * i], outcomes[2 * i + 1]]);
      const placedOnes = pairs.filter(([a, b]) => a !== "sandboxes_full" || b !== "sandboxes_full");
      for (const [a, b] of placedOnes) ok(a === b || [a, b].includes("sandboxes_full"));
      strictEqual(placedOnes.length, 40);
      deepStrictEqual(await loads(store), { a: [10, 10], b: [10, 10], c: [10, 10], d: [10, 10] });
    },
  ],
  [
    "a report or a wish that is out of its limits is refused by the field's name",
    async ({ store }) => {
      const right = { name: "a", address: "http://a:1", stateId: "x" };
      const wrong: ReadonlyArray<readonly [string, Partial<SandboxReport>]> = [
        ["sandbox.name", { name: "a b" }],
        ["sandbox.name", { name: "" }],
        ["sandbox.address", { address: "" }],
        ["sandbox.address", { address: "http://a\n" }],
        ["sandbox.address", { address: "nonsense" }],
        ["sandbox.state_id", { stateId: "" }],
        ["sandbox.labels", { labels: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`l${i}`, ""])) }],
        ["sandbox.labels[l]", { labels: { l: "\u001b[2J" } }],
        ["sandbox.capacity", { capacity: -1 }],
        ["sandbox.capacity", { capacity: 1e9 }],
      ];
      for (const [field, fields] of wrong) {
        const { code, violations } = await refusal(store.sandboxes.report({ ...right, ...fields }, MINUTE_MS));
        strictEqual(code, Code.InvalidArgument);
        strictEqual(violations[0]?.field, field);
      }
      strictEqual((await refusal(store.sandboxes.report(right, 0))).violations[0]?.field, "alive_ms");
      await reported(store, "a");
      strictEqual((await refusal(store.sandboxes.place(fenceOf("s"), {}, 0))).violations[0]?.field, "lease_ms");
      strictEqual(
        (await refusal(store.sandboxes.place(fenceOf("s"), { labels: { l: "x".repeat(129) } }, 1))).violations[0]?.field,
        "labels[l]",
      );
      deepStrictEqual(await loads(store), { a: [0, 0] });
    },
  ],
  [
    "a new session goes to the least loaded of those that take one, whatever came before",
    async ({ connect }) => {
      let now = Date.now();
      const store = await connect(() => now);
      let state = 7;
      const any = (count: number): number => {
        state = (state * 48_271) % 0x7fff_ffff;
        return state % count;
      };
      const names = ["a", "b", "c", "d"];
      const hour = (name: string) => reported(store, { name, capacity: name === "a" ? 3 : 0 });
      for (const name of names) await hour(name);
      for (let step = 1; step <= 120; step++) {
        const [name, fence] = [names[any(4)] ?? "a", fenceOf(`new${1 + any(step)}`, { epoch: BigInt(step) })];
        const steps: ReadonlyArray<() => Promise<unknown>> = [
          () => store.sandboxes.hold(fence, any(3) * MINUTE_MS),
          () => Promise.all(names.map((at) => store.sandboxes.vacate(fence, at, ""))),
          () => store.sandboxes.forget(fence.tenant, fence.sessionId),
          () => store.sandboxes.drain(name, any(2) === 0).catch(() => undefined),
          () => store.sandboxes.remove(name),
          async () => {
            now += any(2) * MINUTE_MS;
            // As it goes on all the time: a lease that has run out may count until then.
            for (const each of (await store.sandboxes.list()).sandboxes) await hour(each.name);
          },
          () => hour(name),
          () => hour(name),
          () => store.sandboxes.place(fence, {}, MINUTE_MS).catch(() => undefined),
        ];
        await steps[any(steps.length)]?.();
        const { sandboxes } = await store.sandboxes.list();
        const free = sandboxes.filter(
          ({ draining, capacity, working, aliveUntilMs }) =>
            !draining && Number(aliveUntilMs) > now && (capacity === 0 || working < capacity),
        );
        const [least] = free.toSorted((a, b) => a.working - b.working || a.placed - b.placed || (a.name < b.name ? -1 : 1));
        if (least === undefined) continue;
        strictEqual(await placed(store, `new${step}`, {}, (1 + any(3)) * MINUTE_MS), least.name, `at step ${step}`);
      }
    },
  ],
];
