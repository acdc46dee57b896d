import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { DecisionKind, FailureReason, FailureSchema, GateSchema, LeafState, MessageMode } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "@serverless-harness/session";
import { describe, expect, test } from "vitest";
import { claimed, finishNext, newLeaf, newStore, openDoor, refusal, workerNamed } from "./support.ts";

const FAILURE = create(FailureSchema, { reason: FailureReason.MODEL_REFUSED, message: "it would rather not" });

/** A leaf that waits for a human's answer. */
async function askingLeaf(store: LeafStore): Promise<string> {
  const { leaf } = await store.submit(newLeaf());
  const claim = await claimed(store);
  await store.openGate(claim, create(GateSchema, { gateId: "call-1", tool: "bash", summary: "May I?", proposedAction: "rm -rf build" }));
  await store.suspend(claim, { gateIds: ["call-1"] }, "waits for a decision", []);
  return leaf.leafId;
}

async function failedLeaf(store: LeafStore): Promise<string> {
  const { leaf } = await store.submit(newLeaf());
  await store.finish(await claimed(store), { state: LeafState.FAILED, failure: FAILURE }, []);
  return leaf.leafId;
}

/** A door whose waker writes down why it was called. */
async function openWatchedDoor() {
  const wakes: string[] = [];
  const waker = {
    start: () => undefined,
    stop: async () => undefined,
    status: () => ({ kind: "none" as const, brains: [], brainsStarted: 0, brainsCrashed: 0, brainSeconds: 0 }),
    wake: (reason: string) => void wakes.push(reason),
  };
  return { ...(await openDoor({ waker })), wakes };
}

describe("Cancel", () => {
  test("ends a leaf that nobody claimed at once", async () => {
    const { leaves, store } = await openDoor();
    const { leaf } = await store.submit(newLeaf());
    const answer = await leaves.cancel({ leafId: leaf.leafId, requestedBy: "anna" });
    expect(answer.leaf?.state).toBe(LeafState.CANCELLED);
    expect(await store.claim(workerNamed("nobody"), 1000)).toBeUndefined();
  });

  test("tells who runs a leaf with its heartbeat, and wakes a brain for one that waits", async () => {
    const { leaves, store, wakes } = await openWatchedDoor();
    const { leaf } = await store.submit(newLeaf());
    const claim = await claimed(store);
    await leaves.cancel({ leafId: leaf.leafId });
    expect(await store.heartbeat(claim, 1000)).toMatchObject({ cancelRequested: true });
    expect(wakes).toEqual(["cancel"]);
  });

  test("of a leaf that is over changes nothing, and of one that never was is NOT_FOUND", async () => {
    const { leaves, store, wakes } = await openWatchedDoor();
    await store.submit(newLeaf());
    const leafId = await finishNext(store, "done");
    expect((await leaves.cancel({ leafId })).leaf?.state).toBe(LeafState.DONE);
    expect(wakes).toEqual([]);
    expect(await refusal(leaves.cancel({ leafId: "leaf_nobody" }))).toMatchObject({ code: Code.NotFound, reason: "leaf_not_found" });
    expect(await refusal(leaves.cancel({}))).toMatchObject({ code: Code.InvalidArgument });
  });
});

describe("Decide", () => {
  test("releases the leaf that asked, once: the same again changes nothing, another answer is refused", async () => {
    const { leaves, store, wakes } = await openWatchedDoor();
    const leafId = await askingLeaf(store);
    expect((await leaves.get({ leafId })).leaf).toMatchObject({ state: LeafState.AWAITING_APPROVAL, openGates: [{ gateId: "call-1" }] });
    const answer = { leafId, gateId: "call-1", kind: DecisionKind.APPROVE, decidedBy: "anna" };
    expect((await leaves.decide(answer)).gate?.decision).toMatchObject({ kind: DecisionKind.APPROVE, decidedBy: "anna" });
    expect((await leaves.decide(answer)).gate?.decision).toMatchObject({ kind: DecisionKind.APPROVE });
    expect(wakes).toContain("decision");
    const other = { ...answer, kind: DecisionKind.REJECT };
    expect(await refusal(leaves.decide(other))).toMatchObject({ code: Code.AlreadyExists, reason: "gate_decided" });
    expect((await claimed(store)).leaf.leafId).toBe(leafId);
  });

  test("says which field is wrong, and which gate is not there", async () => {
    const { leaves, store } = await openDoor();
    const leafId = await askingLeaf(store);
    const missing = await refusal(leaves.decide({}));
    expect(missing.violations.map(({ field }) => field)).toEqual(["leaf_id", "gate_id", "kind"]);
    const unknown = leaves.decide({ leafId, gateId: "call-2", kind: DecisionKind.ABORT });
    expect(await refusal(unknown)).toMatchObject({ code: Code.FailedPrecondition, reason: "gate_not_found" });
  });
});

test.each(["a\u001b]52;c;aGk=\u0007", "a\nstate  done", "a\u009b2J", "a\u202eb"])(
  "a name with control characters (%j) is refused where it comes in",
  async (name) => {
    const { leaves, store } = await openDoor();
    const leafId = await askingLeaf(store);
    const fields = async (call: Promise<unknown>): Promise<string[]> => (await refusal(call)).violations.map(({ field }) => field);
    const decision = { leafId, gateId: "call-1", kind: DecisionKind.APPROVE, decidedBy: name };
    expect(await fields(leaves.decide(decision))).toEqual(["decision.decided_by"]);
    expect(await fields(leaves.cancel({ leafId, requestedBy: name }))).toEqual(["requested_by"]);
    expect(await fields(leaves.send({ leafId, text: "x", sentBy: name }))).toEqual(["sent_by"]);
    expect(await fields(leaves.submit({ spec: { prompt: "p" }, idempotencyKey: name }))).toEqual(["idempotency_key"]);
    expect(await fields(leaves.list({ labels: { batch: name } }))).toEqual(["labels[batch]"]);
  },
);

describe("Redrive", () => {
  test("queues a failed leaf again with all its attempts, and says so in its record", async () => {
    const { leaves, store, wakes } = await openWatchedDoor();
    const leafId = await failedLeaf(store);
    expect((await leaves.get({ leafId })).leaf).toMatchObject({ attempts: [{ failure: { message: "it would rather not" } }] });
    const { leaf } = await leaves.redrive({ leafId, fromStart: true });
    expect(leaf).toMatchObject({ state: LeafState.QUEUED, redrives: 1, restarts: 1, attempts: [], failedAttempts: 0 });
    expect(wakes).toContain("redrive");
    expect((await claimed(store)).leaf.leafId).toBe(leafId);
  });

  test("of a leaf that is done is refused", async () => {
    const { leaves, store } = await openDoor();
    await store.submit(newLeaf());
    const leafId = await finishNext(store, "done");
    expect(await refusal(leaves.redrive({ leafId }))).toMatchObject({ code: Code.FailedPrecondition, reason: "leaf_not_failed" });
  });
});

describe("Send", () => {
  test("gives the leaf a message, which who runs it is told of; the same again changes nothing", async () => {
    const { leaves, store, wakes } = await openWatchedDoor();
    const { leaf } = await store.submit(newLeaf());
    const claim = await claimed(store);
    const request = { leafId: leaf.leafId, text: "look at the tests too", messageId: "m-1", sentBy: "anna" };
    const { message } = await leaves.send(request);
    expect(message).toMatchObject({ messageId: "m-1", mode: MessageMode.STEER, text: "look at the tests too", sentBy: "anna" });
    expect((await store.heartbeat(claim, 1000)).messages).toEqual([message]);
    expect((await leaves.send(request)).message).toEqual(message);
    expect((await leaves.get({ leafId: leaf.leafId })).leaf?.messages).toEqual([message]);
    const other = leaves.send({ ...request, text: "or don't" });
    expect(await refusal(other)).toMatchObject({ code: Code.AlreadyExists, reason: "message_id_reused" });
    expect(wakes).toEqual([]);
  });

  test("without an id says it anew, 32 times", async () => {
    const { leaves, store } = await openDoor();
    const { leaf } = await store.submit(newLeaf());
    const ids = new Set<string | undefined>();
    for (let i = 0; i < 32; i++) ids.add((await leaves.send({ leafId: leaf.leafId, text: "again" })).message?.messageId);
    expect(ids.size).toBe(32);
    const more = leaves.send({ leafId: leaf.leafId, text: "again" });
    expect(await refusal(more)).toMatchObject({ code: Code.ResourceExhausted, reason: "too_many_messages" });
  });

  test("says which fields are wrong, and which leaf takes nothing", async () => {
    const { leaves, store } = await openDoor();
    const wrong = await refusal(leaves.send({ text: " ", messageId: "-m", sentBy: "s".repeat(257), mode: 9 as MessageMode }));
    expect(wrong.violations.map(({ field }) => field)).toEqual(["leaf_id", "message_id", "mode", "text", "sent_by"]);
    const nobody = leaves.send({ leafId: "leaf_nobody", text: "hello" });
    expect(await refusal(nobody)).toMatchObject({ code: Code.NotFound, reason: "leaf_not_found" });
    await store.submit(newLeaf());
    const leafId = await finishNext(store, "done");
    expect(await refusal(leaves.send({ leafId, text: "hello" }))).toMatchObject({ code: Code.FailedPrecondition, reason: "leaf_ended" });
  });
});

test("a fork needs a session of the tenant to begin with, and a new one of its own", async () => {
  const { leaves, store } = await openDoor();
  await store.submit(newLeaf({ sessionId: "old" }));
  const fork = (sessionId: string, own = "", tenant = "") =>
    leaves.submit({ spec: { prompt: "p", tenant, sessionId: own, fork: { sessionId } } });
  expect(await refusal(fork("nowhere"))).toMatchObject({ code: Code.NotFound, reason: "session_not_found" });
  expect(await refusal(fork("old", "", "other"))).toMatchObject({ code: Code.NotFound, reason: "session_not_found" });
  expect(await refusal(fork("old", "old"))).toMatchObject({ code: Code.FailedPrecondition, reason: "session_exists" });
  expect((await fork("old", "new")).leaf?.spec).toMatchObject({ sessionId: "new", fork: { sessionId: "old", entryId: "" } });
});

test("Get answers with a tombstone where a leaf was kept for as long as leaves are, and Watch does not find it", async () => {
  const { store } = await newStore();
  const { leaves } = await openDoor({ store });
  await store.submit(newLeaf());
  const leafId = await finishNext(store, "done");
  // Over for longer than no time at all: the clock only has to move.
  while ((await store.sweep({ leafMs: 0, tombstoneMs: 60_000 }, 10)) === 0);
  const { leaf, tombstone } = await leaves.get({ leafId });
  expect(leaf).toBeUndefined();
  expect(tombstone).toMatchObject({ leafId, state: LeafState.DONE });
  const events = leaves.watch({ leafId })[Symbol.asyncIterator]();
  expect(await refusal(events.next())).toMatchObject({ code: Code.NotFound, reason: "leaf_not_found" });
});
