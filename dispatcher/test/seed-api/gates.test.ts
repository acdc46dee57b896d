import { DecisionKind, LeafState } from "@serverless-harness/proto/leaf";
import { describe, expect, test } from "vitest";
import { ask, type Body, leavesOf, newSession, openRuns, review, seedHouse, verdict } from "./runs.ts";

const house = seedHouse();
const open = () => openRuns(house.stack.store);

/** An item that a human has to agree to. */
const held = (sessionId: string, steps: Parameters<typeof review>[1]): Body => review(sessionId, steps, {}, { require_approval: true });
const decided = (envelope: Body, action: string, gateId: unknown = 0, feedback?: unknown): Body => ({
  ...envelope,
  decision: { gateId, action, ...(feedback === undefined ? {} : { feedback }) },
});
const paused = (gateId: number, summary = "May I?") => ({
  status: 200,
  body: { status: "paused", gateId, gate: { summary, proposed_action: "hand in FLAGGED" } },
});
const DONE = { status: 200, body: { status: "done", verdict: { verdict: "FLAGGED" } } };

describe("an item that needs approval", () => {
  test("holds an agent that hands its verdict in at once, unasked", async () => {
    const { run } = await open();
    const envelope = held(newSession(), [verdict()]);
    const { body } = await run(envelope);
    expect(body).toMatchObject({ status: "paused", gateId: 0, gate: { proposed_action: expect.stringContaining("FLAGGED") } });
    expect(await run(decided(envelope, "approve"))).toMatchObject(DONE);
  });

  test("holds the next verdict too if a human refuses the first one", async () => {
    const { run } = await open();
    const envelope = held(newSession(), [verdict("CLEAR"), verdict("FLAGGED")]);
    expect((await run(envelope)).body).toMatchObject({ status: "paused", gateId: 0 });
    expect((await run(decided(envelope, "reject", 0, "look again"))).body).toMatchObject({ status: "paused", gateId: 1 });
    expect(await run(decided(envelope, "approve", 1))).toMatchObject(DONE);
  });

  test("pauses where its agent asks, and goes on in the same call to the verdict, which is not asked for again", async () => {
    const { run, store } = await open();
    const sessionId = newSession();
    const envelope = held(sessionId, [ask(), verdict()]);
    expect(await run(envelope)).toMatchObject(paused(0));
    expect(await run(decided(envelope, "approve", 0, "go on"))).toMatchObject(DONE);
    const [leaf] = await leavesOf(store, sessionId);
    expect(leaf).toMatchObject({ state: LeafState.DONE, usage: { modelCalls: 2 } });
  });

  test.each([
    ["no decision", undefined],
    ["a gate that was never opened", { gateId: 1, action: "approve" }],
    ["a word that is none", { gateId: 0, action: "maybe" }],
    ["a gate that is no number", { gateId: "0", action: "approve" }],
    ["a gate below 0", { gateId: -1, action: "approve" }],
    ["half a gate", { gateId: 0.5, action: "approve" }],
    ["feedback that is no text", { gateId: 0, action: "approve", feedback: 7 }],
    ["a decision that is a text", "approve"],
  ])("stays paused on %s, and nothing runs", async (_what, decision) => {
    const { run, store } = await open();
    const sessionId = newSession();
    const envelope = held(sessionId, [ask(), verdict()]);
    expect(await run(envelope)).toMatchObject(paused(0));
    expect(await run({ ...envelope, decision })).toMatchObject(paused(0));
    expect((await leavesOf(store, sessionId))[0]).toMatchObject({ state: LeafState.AWAITING_APPROVAL, claims: 1 });
  });

  test("counts its gates: a decision on one that was answered already is answered with the one that is open", async () => {
    const { run } = await open();
    const envelope = held(newSession(), [ask("First?"), ask("Second?"), verdict()]);
    expect(await run(envelope)).toMatchObject(paused(0, "First?"));
    expect(await run(decided(envelope, "reject"))).toMatchObject(paused(1, "Second?"));
    expect(await run(decided(envelope, "approve", 0))).toMatchObject(paused(1, "Second?"));
    expect(await run(decided(envelope, "approve", 1))).toMatchObject(DONE);
  });

  test("may be refused: its agent is told, and may hand in another verdict", async () => {
    const { run, store } = await open();
    const sessionId = newSession();
    const envelope = held(sessionId, [ask(), verdict("CLEAR")]);
    await run(envelope);
    expect((await run(decided(envelope, "reject", 0, "it is harmless"))).body).toMatchObject({ verdict: { verdict: "CLEAR" } });
    const [leaf] = await leavesOf(store, sessionId);
    const [told] = await house.stack.eventsOf(leaf ?? expect.fail("no leaf"), "toolEnded");
    expect(told?.text).toContain("it is harmless");
  });

  test("may be aborted, without a model call, for good: whatever is sent then", async () => {
    const { run, status, store } = await open();
    const sessionId = newSession();
    const envelope = held(sessionId, [ask(), verdict()]);
    await run(envelope);
    const aborted = { status: 200, body: { status: "aborted" } };
    expect(await run(decided(envelope, "abort"))).toMatchObject(aborted);
    for (const again of [envelope, decided(envelope, "approve"), { ...envelope, model: "other" }])
      expect(await run(again)).toMatchObject(aborted);
    expect(await status({ sessionId })).toMatchObject(aborted);
    expect((await leavesOf(store, sessionId))[0]?.usage?.modelCalls).toBe(1);
  });

  test("ignores a decision for a session that is new, or has its verdict", async () => {
    const { run } = await open();
    const envelope = held(newSession(), [ask(), verdict()]);
    expect(await run(decided(envelope, "approve"))).toMatchObject(paused(0));
    await run(decided(envelope, "approve"));
    expect(await run(decided(envelope, "abort"))).toMatchObject(DONE);
  });

  test("is decided once, however many decide at once", async () => {
    const { run, store } = await open();
    const sessionId = newSession();
    const envelope = held(sessionId, [ask(), verdict()]);
    await run(envelope);
    const actions = Array.from({ length: 50 }, (_, i) => (i % 2 === 0 ? "approve" : "reject"));
    const answers = await Promise.all(actions.map((action) => run(decided(envelope, action))));
    expect(answers.map(({ status }) => status)).toEqual(actions.map(() => 200));
    expect(await run(envelope)).toMatchObject(DONE);
    const [leaf] = await leavesOf(store, sessionId);
    expect((await house.stack.eventsOf(leaf ?? expect.fail("no leaf"), "gateDecided")).length).toBe(1);
  });

  test("goes on by itself if its decision came by another way, without one in the envelope", async () => {
    const { run, store } = await open();
    const sessionId = newSession();
    const envelope = held(sessionId, [ask(), verdict()]);
    await run(envelope);
    const [leaf] = await leavesOf(store, sessionId);
    const gateId = leaf?.openGates[0]?.gateId ?? "";
    await store.decide(leaf?.leafId ?? "", gateId, { kind: DecisionKind.APPROVE, feedback: "", decidedBy: "anna" });
    expect(await run(envelope)).toMatchObject(DONE);
  });

  test("tells its gate by its status, with the id inside too; queued once it is decided", async () => {
    const { run, status, outcome } = await open();
    const sessionId = newSession();
    const envelope = { ...held(sessionId, [ask(), { delay_ms: 200, ...verdict() }]), async: true };
    await run(envelope);
    const gate = { gateId: 0, summary: "May I?", proposed_action: "hand in FLAGGED" };
    expect((await outcome({ sessionId })).body).toEqual({ status: "paused", gateId: 0, gate });
    expect(await run(decided(envelope, "approve"))).toMatchObject({ status: 202, body: { status: "accepted", sessionId } });
    expect((await status({ sessionId })).body).toEqual({ status: "queued" });
    expect(await outcome({ sessionId })).toMatchObject(DONE);
  });
});

test("an item that needs none may ask all the same", async () => {
  const { run } = await open();
  const envelope = review(newSession(), [ask(), verdict()]);
  expect(await run(envelope)).toMatchObject(paused(0));
  expect(await run(decided(envelope, "approve"))).toMatchObject(DONE);
});

test.each(["true", 1, null])("require_approval counts only as true, not as %j", async (word) => {
  const { run } = await open();
  expect(await run(review(newSession(), [verdict()], {}, { require_approval: word }))).toMatchObject(DONE);
});

test("gates go on counting over the runs of a session", async () => {
  const { run } = await open();
  const sessionId = newSession();
  const first = held(sessionId, [ask(), { text: "never mind" }, { text: "no" }]);
  await run(first);
  expect((await run(decided(first, "approve"))).body).toMatchObject({ status: "failed", reason: "no_verdict" });
  const second = held(sessionId, [ask("Again?"), verdict()]);
  expect(await run(second)).toMatchObject(paused(1, "Again?"));
  expect(await run(decided(second, "approve", 0))).toMatchObject(paused(1, "Again?"));
  expect(await run(decided(second, "approve", 1))).toMatchObject(DONE);
});
