import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { equals } from "@bufbuild/protobuf";
import { DecisionKind, type Gate, GateSchema, LeafState } from "@serverless-harness/proto/leaf";
import { approval, claim, done, failed, gateOf, LONG_LEASE_MS, logOf, recordOf, refused, submit, words } from "./build.ts";
import type { Case } from "./types.ts";

function ids(gates: readonly Gate[]): string[] {
  return gates.map((gate) => gate.gateId);
}

const INVALID = {
  "an empty id": gateOf(""),
  "an id of 129 characters": gateOf("g".repeat(129)),
  "no tool": gateOf("g", { tool: "" }),
  "a summary over 4 KiB": gateOf("g", { summary: "s".repeat(4097) }),
  "an action over 64 KiB": gateOf("g", { proposedAction: "a".repeat(65_537) }),
  "a deadline before the Unix epoch": gateOf("g", { deadlineMs: -1n }),
  "an unknown default": gateOf("g", { onDeadline: 9 as DecisionKind }),
};

export const gateCases: readonly Case[] = [
  [
    "an opened gate is in the record and in the log, with the store's time",
    async ({ store, connect }) => {
      const { leafId } = await submit(store);
      const before = Date.now();
      const held = await claim(store);
      const gate = await store.openGate(
        held,
        gateOf("g", { deadlineMs: BigInt(before + LONG_LEASE_MS), onDeadline: DecisionKind.APPROVE }),
      );
      ok(gate.openedAtMs >= BigInt(before) && gate.openedAtMs <= BigInt(Date.now()));
      deepStrictEqual([gate.gateId, gate.tool, gate.summary, gate.proposedAction], ["g", "bash", "may it?", "rm -r build"]);
      deepStrictEqual([gate.argumentsHash, gate.onDeadline, gate.decision], ["h1", DecisionKind.APPROVE, undefined]);
      const [open] = (await recordOf(await connect(), leafId)).openGates;
      ok(open && equals(GateSchema, open, gate));
      const event = (await logOf(store, leafId)).at(-1)?.event;
      ok(event?.case === "gateOpened" && event.value.gate && equals(GateSchema, event.value.gate, gate));
      strictEqual((await recordOf(store, leafId)).state, LeafState.RUNNING);
    },
  ],
  [
    "open gates are listed oldest first, by get, list and claim, until they are decided",
    async ({ store }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      for (const id of ["b", "a", "c"]) await store.openGate(held, gateOf(id));
      await store.decide(leafId, "a", approval());
      deepStrictEqual(ids((await recordOf(store, leafId)).openGates), ["b", "c"]);
      deepStrictEqual(ids((await store.list({ limit: 10 })).leaves[0]?.openGates ?? []), ["b", "c"]);
      await store.release(held, "");
      deepStrictEqual(ids((await claim(store)).leaf.openGates), ["b", "c"]);
    },
  ],
  [
    "the same gate again changes nothing, and tells what was decided",
    async ({ store }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      const first = await store.openGate(held, gateOf("g"));
      const again = await store.openGate(held, gateOf("g", { summary: "in other words", deadlineMs: 5n }));
      ok(equals(GateSchema, again, first));
      const decided = await store.decide(leafId, "g", approval());
      await store.release(held, "");
      const resumed = await store.openGate(await claim(store), gateOf("g"));
      ok(equals(GateSchema, resumed, decided));
      strictEqual(resumed.decision?.kind, DecisionKind.APPROVE);
      deepStrictEqual(words(await logOf(store, leafId)), ["queued", "running", "gateOpened", "gateDecided", "suspended", "running"]);
    },
  ],
  [
    "a gate's id belongs to the arguments that it was opened for",
    async ({ store }) => {
      await submit(store);
      await submit(store);
      const [held, other] = [await claim(store), await claim(store)];
      await store.openGate(held, gateOf("g"));
      await refused(store.openGate(held, gateOf("g", { argumentsHash: "h2" })), "gate_reused");
      await store.openGate(other, gateOf("g", { argumentsHash: "h2" }));
      strictEqual((await recordOf(store, held.leaf.leafId)).openGates[0]?.argumentsHash, "h1");
    },
  ],
  [
    "a leaf has at most 32 open gates, and any number of decided ones",
    async ({ store }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      for (let i = 0; i < 32; i++) await store.openGate(held, gateOf(`g${i}`));
      await refused(store.openGate(held, gateOf("one more")), "too_many_gates");
      await store.openGate(held, gateOf("g31"));
      strictEqual((await recordOf(store, leafId)).openGates.length, 32);
      await store.decide(leafId, "g0", approval());
      await store.openGate(held, gateOf("one more"));
      await refused(store.openGate(held, gateOf("and another")), "too_many_gates");
    },
  ],
  [
    "a gate whose deadline is over is decided as it says, when it is opened and when it is opened again",
    async ({ store }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      const over = BigInt(Date.now() - 5);
      const kinds = [DecisionKind.UNSPECIFIED, DecisionKind.APPROVE, DecisionKind.ABORT];
      const decisions = [];
      for (const onDeadline of kinds) {
        decisions.push((await store.openGate(held, gateOf(`g${onDeadline}`, { deadlineMs: over, onDeadline }))).decision);
      }
      deepStrictEqual(
        decisions.map((decision) => [decision?.kind, decision?.feedback, decision?.decidedBy]),
        [DecisionKind.REJECT, DecisionKind.APPROVE, DecisionKind.ABORT].map((kind) => [kind, "", "deadline"]),
      );
      ok(decisions.every((decision) => (decision?.decidedAtMs ?? 0n) > over));
      await store.openGate(held, gateOf("g0", { deadlineMs: over }));
      const pairs = kinds.flatMap(() => ["gateOpened", "gateDecided"]);
      deepStrictEqual(words(await logOf(store, leafId)), ["queued", "running", ...pairs]);
      deepStrictEqual((await recordOf(store, leafId)).openGates, []);
    },
  ],
  [
    "the gates of a leaf that is over go with it",
    async ({ store }) => {
      for (const outcome of [done(""), failed("x")]) {
        const { leafId } = await submit(store);
        const held = await claim(store);
        await store.openGate(held, gateOf("g"));
        await store.finish(held, outcome, []);
        deepStrictEqual((await recordOf(store, leafId)).openGates, []);
        await refused(store.decide(leafId, "g", approval()), "leaf_ended");
      }
    },
  ],
  ...Object.entries(INVALID).map(
    ([what, gate]): Case => [
      `a gate with ${what} is refused`,
      async ({ store }) => {
        const { leafId } = await submit(store);
        const held = await claim(store);
        await refused(store.openGate(held, gate), "invalid_argument");
        deepStrictEqual((await recordOf(store, leafId)).openGates, []);
      },
    ],
  ),
];
