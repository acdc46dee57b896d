import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { equals } from "@bufbuild/protobuf";
import { DecisionKind, GateSchema, LeafState } from "@serverless-harness/proto/leaf";
import type { NewGate } from "../contract/gates.ts";
import type { LeafStore } from "../contract/leaf-store.ts";
import {
  approval,
  claim,
  done,
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

/** A leaf that awaits the decision on gate `g`. */
async function awaiting(store: LeafStore, fields: Partial<NewGate> = {}): Promise<string> {
  const { leafId } = await submit(store);
  const held = await claim(store);
  await store.openGate(held, gateOf("g", fields));
  await store.suspend(held, { gateIds: ["g"] }, "", []);
  return leafId;
}

const INVALID = {
  "no kind": approval({ kind: DecisionKind.UNSPECIFIED }),
  "an unknown kind": approval({ kind: 9 as DecisionKind }),
  "a feedback over 64 KiB": approval({ feedback: "f".repeat(65_537) }),
  "a name of 257 characters": approval({ decidedBy: "n".repeat(257) }),
};

export const decideCases: readonly Case[] = [
  [
    "a decision makes the leaf that waits for it ready, and its log tells what was decided",
    async ({ store, connect }) => {
      const leafId = await awaiting(store, { deadlineMs: BigInt(Date.now() + LONG_LEASE_MS) });
      strictEqual((await recordOf(store, leafId)).state, LeafState.AWAITING_APPROVAL);
      const before = Date.now();
      const { decision } = await (await connect()).decide(leafId, "g", approval());
      deepStrictEqual([decision?.kind, decision?.feedback, decision?.decidedBy], [DecisionKind.APPROVE, "go on", "ann"]);
      ok(decision && decision.decidedAtMs >= BigInt(before) && decision.decidedAtMs <= BigInt(Date.now()));
      deepStrictEqual(await lastChange(store, leafId), [LeafState.SUSPENDED, 0, "decided"]);
      const event = (await logOf(store, leafId)).at(-2)?.event;
      ok(event?.case === "gateDecided" && event.value.gateId === "g");
      strictEqual(event.value.decision?.decidedAtMs, decision.decidedAtMs);
      const leaf = await recordOf(store, leafId);
      deepStrictEqual([leaf.state, leaf.notBeforeMs, leaf.openGates], [LeafState.SUSPENDED, 0n, []]);
      strictEqual((await claim(store)).takeover, false);
    },
  ],
  [
    "a decision on any of the gates that are waited for ends the wait, and one on another does not",
    async ({ store }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      for (const id of ["a", "b", "c"]) await store.openGate(held, gateOf(id));
      await store.suspend(held, { gateIds: ["a", "b"] }, "", []);
      await store.decide(leafId, "c", approval());
      await nothingReady(store);
      strictEqual((await recordOf(store, leafId)).state, LeafState.AWAITING_APPROVAL);
      await store.decide(leafId, "b", approval());
      await store.suspend(await claim(store), { gateIds: ["a"] }, "", []);
      await nothingReady(store);
      await store.decide(leafId, "a", approval());
      deepStrictEqual(words((await logOf(store, leafId)).slice(-2)), ["gateDecided", "suspended"]);
      strictEqual((await claim(store)).leaf.leafId, leafId);
    },
  ],
  [
    "a gate of a former wait ends none of the next",
    async ({ store }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      await store.openGate(held, gateOf("a"));
      await store.suspend(held, { gateIds: ["a"], wakeKey: "k1" }, "", []);
      await store.wake(leafId, "k1");
      await store.suspend(await claim(store), { wakeKey: "k2" }, "", []);
      await store.decide(leafId, "a", approval());
      await nothingReady(store);
    },
  ],
  [
    "a decision on a leaf that runs is there when it looks",
    async ({ store, connect }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      await store.openGate(held, gateOf("g"));
      await (await connect()).decide(leafId, "g", approval({ kind: DecisionKind.REJECT }));
      strictEqual((await recordOf(store, leafId)).state, LeafState.RUNNING);
      strictEqual((await store.openGate(held, gateOf("g"))).decision?.kind, DecisionKind.REJECT);
      await store.finish(held, done(""), []);
    },
  ],
  [
    "the first decision stays: the same again changes nothing, another is refused",
    async ({ store }) => {
      const leafId = await awaiting(store);
      const first = await store.decide(leafId, "g", approval());
      const log = await logOf(store, leafId);
      ok(equals(GateSchema, await store.decide(leafId, "g", approval()), first));
      const others = [{ kind: DecisionKind.REJECT }, { kind: DecisionKind.ABORT }, { feedback: "" }, { decidedBy: "bob" }];
      for (const other of others) await refused(store.decide(leafId, "g", approval(other)), "gate_decided");
      strictEqual((await logOf(store, leafId)).length, log.length);
      await store.finish(await claim(store), done(""), []);
    },
  ],
  [
    "of many decisions at once the first wins, and all others learn of it",
    async ({ store, connect }) => {
      const stores = [store, await connect(), await connect()];
      const leafId = await awaiting(store);
      const outcomes = await Promise.allSettled(
        Array.from({ length: 12 }, async (_, i) => stores[i % 3]?.decide(leafId, "g", approval({ decidedBy: `human ${i}` }))),
      );
      const won = outcomes.flatMap((each) => (each.status === "fulfilled" ? [each.value?.decision?.decidedBy] : []));
      strictEqual(won.length, 1);
      for (const each of outcomes) if (each.status === "rejected") await refused(Promise.reject(each.reason), "gate_decided");
      strictEqual((await store.openGate(await claim(store), gateOf("g"))).decision?.decidedBy, won[0]);
      deepStrictEqual(words((await logOf(store, leafId)).slice(2)), [
        "gateOpened",
        "awaiting_approval",
        "gateDecided",
        "suspended",
        "running",
      ]);
    },
  ],
  [
    "the deadline makes the leaf due, and who opens the gate again gets the gate's own decision",
    async ({ store, connect }) => {
      const leafId = await awaiting(store, { deadlineMs: BigInt(Date.now() + LONG_LEASE_MS / 2) });
      await nothingReady(store);
      const then = await connect(() => Date.now() + LONG_LEASE_MS);
      const held = await claim(then);
      deepStrictEqual([held.leaf.leafId, held.leaf.openGates.length, held.leaf.notBeforeMs], [leafId, 1, 0n]);
      const { decision } = await then.openGate(held, gateOf("g"));
      deepStrictEqual([decision?.kind, decision?.decidedBy], [DecisionKind.REJECT, "deadline"]);
      deepStrictEqual((await recordOf(store, leafId)).openGates, []);
    },
  ],
  [
    "a human who comes behind the deadline finds the gate's own decision",
    async ({ store }) => {
      const leafId = await awaiting(store, { deadlineMs: BigInt(Date.now() + 30) });
      await store.waitForWork(LONG_LEASE_MS, NEVER);
      await refused(store.decide(leafId, "g", approval()), "gate_decided");
      const own = await store.decide(leafId, "g", approval({ kind: DecisionKind.REJECT, feedback: "", decidedBy: "deadline" }));
      strictEqual(own.decision?.decidedBy, "deadline");
      strictEqual((await logOf(store, leafId)).filter(({ event }) => event.case === "gateDecided").length, 1);
      strictEqual((await claim(store)).leaf.leafId, leafId);
    },
  ],
  [
    "a decision on what is not there says what is missing",
    async ({ store }) => {
      await refused(store.decide("leaf-nobody", "g", approval()), "leaf_not_found");
      const { leafId } = await submit(store);
      await refused(store.decide(leafId, "g", approval()), "gate_not_found");
      await store.finish(await claim(store), done(""), []);
      await refused(store.decide(leafId, "g", approval()), "leaf_ended");
    },
  ],
  [
    "waiting workers and followers in other processes learn of a decision",
    async ({ store, connect }) => {
      const other = await connect();
      const leafId = await awaiting(store);
      const [waiting, following] = [other.waitForWork(LONG_LEASE_MS, NEVER), follow(other, leafId)];
      await store.decide(leafId, "g", approval());
      await waiting;
      await store.finish(await claim(store), done(""), []);
      deepStrictEqual(words((await following).slice(-4)), ["gateDecided", "suspended", "running", "done"]);
    },
  ],
  ...Object.entries(INVALID).map(
    ([what, decision]): Case => [
      `a decision with ${what} is refused`,
      async ({ store }) => {
        const leafId = await awaiting(store);
        await refused(store.decide(leafId, "g", decision), "invalid_argument");
        strictEqual((await recordOf(store, leafId)).openGates.length, 1);
      },
    ],
  ),
];
