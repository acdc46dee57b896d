import { create } from "@bufbuild/protobuf";
import { bash, calls, HeldCommand, say, scripted } from "@serverless-harness/pi-fork/testing";
import {
  DecisionKind,
  FailureReason,
  type Gate,
  type GatePolicy,
  GatePolicySchema,
  type Leaf,
  LeafKind,
  LeafState,
  LimitsSchema,
} from "@serverless-harness/proto/leaf";
import { describe, expect, test } from "vitest";
import { machines, Stack } from "./fixtures/stack.ts";

const shared = machines();

/** Every bash call whose command holds `danger` waits for a human, and the agent may ask by itself. */
const POLICY: GatePolicy = create(GatePolicySchema, { requestApproval: true, tools: [{ tool: "bash", arguments: "danger" }] });

const ASK = calls({ name: "request_approval", input: { summary: "May I?", proposed_action: "deploy to production" } });

/** The leaf's only open gate, once nobody works on it any more. */
async function asked(stack: Stack, leaf: Leaf): Promise<Gate> {
  const { openGates } = await stack.when(
    leaf,
    ({ event }) => event.case === "stateChanged" && event.value.state === LeafState.AWAITING_APPROVAL,
  );
  const [gate, another] = openGates;
  if (gate === undefined || another !== undefined) throw new Error(`the leaf asks ${openGates.length} things`);
  return gate;
}

function decide(stack: Stack, leaf: Leaf, { gateId }: Gate, kind: DecisionKind, feedback = ""): Promise<Gate> {
  return stack.store.decide(leaf.leafId, gateId, { kind, feedback, decidedBy: "anna" });
}

describe("an agent that asks for approval", () => {
  test("waits without a brain, and goes on in the same call with the answer", async () => {
    const stack = await Stack.open(shared);
    const leaf = await stack.submit(scripted(ASK, say("{{last_tool_result}}")), { gates: POLICY });
    const first = stack.brain();
    const gate = await asked(stack, leaf);
    expect(gate).toMatchObject({ tool: "request_approval", summary: "May I?", proposedAction: "deploy to production" });
    // The brain goes away by itself: nothing is left for it to do.
    expect((await first.exited).code).toBe(0);
    await decide(stack, leaf, gate, DecisionKind.APPROVE, "but not on a Friday");
    stack.brain();
    const done = await stack.ended(leaf);
    expect(done).toMatchObject({ state: LeafState.DONE, failedAttempts: 0, claims: 2, usage: { modelCalls: 2 }, openGates: [] });
    expect(done.result?.text).toBe("Approved: go on exactly as proposed. but not on a Friday");
    const starts = await stack.eventsOf(leaf, "toolStarted");
    expect(new Set(starts.map(({ invocationId }) => invocationId)).size).toBe(1);
    expect((await stack.eventsOf(leaf, "gateDecided")).map(({ decision }) => decision?.decidedBy)).toEqual(["anna"]);
  });

  test("that is rejected tells the model why, and goes on", async () => {
    const stack = await Stack.open(shared);
    const leaf = await stack.submit(scripted(ASK, say("{{last_tool_result}}")), { gates: POLICY });
    stack.brain({ BRAIN_GRACE_MS: "5000" });
    await decide(stack, leaf, await asked(stack, leaf), DecisionKind.REJECT, "use staging");
    expect((await stack.ended(leaf)).result?.text).toBe("Rejected: don't do it. use staging");
  });

  test("that is aborted ends as aborted without another model call", async () => {
    const stack = await Stack.open(shared);
    const leaf = await stack.submit(scripted(ASK, say("never said")), { gates: POLICY });
    stack.brain({ BRAIN_GRACE_MS: "5000" });
    await decide(stack, leaf, await asked(stack, leaf), DecisionKind.ABORT);
    expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.ABORTED, usage: { modelCalls: 1 } });
    expect((await stack.eventsOf(leaf, "modelCallStarted")).length).toBe(1);
  });

  test("gets the answer of the deadline where nobody answers", async () => {
    const stack = await Stack.open(shared);
    const gates = create(GatePolicySchema, { ...POLICY, deadlineMs: 300n, onDeadline: DecisionKind.APPROVE });
    const leaf = await stack.submit(scripted(ASK, say("{{last_tool_result}}")), { gates });
    stack.brain({ BRAIN_GRACE_MS: "5000" });
    expect((await stack.ended(leaf)).result?.text).toBe("Approved: go on exactly as proposed.");
    expect((await stack.eventsOf(leaf, "gateDecided")).map(({ decision }) => decision?.decidedBy)).toEqual(["deadline"]);
  });

  test("does not have the tool where its leaf does not say so", async () => {
    const stack = await Stack.open(shared);
    const leaf = await stack.submit(scripted(ASK, say("{{last_tool_result}}")));
    stack.brain();
    expect((await stack.ended(leaf)).result?.text).toMatch(/request_approval.* is unavailable/);
  });
});

describe("a result that the leaf's policy holds", () => {
  const HOLDS: GatePolicy = create(GatePolicySchema, { requestApproval: true, holdResult: true });
  const kind = LeafKind.TASK;
  const submit = (verdict: string) => calls({ name: "submit_verdict", input: { item_id: "i", verdict, reason: "so" } });

  test("waits where nobody was asked, and is asked for again after a no", async () => {
    const stack = await Stack.open(shared);
    const leaf = await stack.submit(scripted(submit("CLEAR"), submit("FLAGGED")), { kind, gates: HOLDS });
    stack.brain({ BRAIN_GRACE_MS: "5000" });
    const first = await asked(stack, leaf);
    expect(JSON.parse(first.proposedAction)).toMatchObject({ verdict: "CLEAR" });
    await decide(stack, leaf, first, DecisionKind.REJECT);
    const second = await stack.when(leaf, ({ event }) => event.case === "gateOpened" && event.value.gate?.gateId !== first.gateId);
    await decide(stack, leaf, second.openGates[0] ?? expect.fail("nothing is asked"), DecisionKind.APPROVE);
    expect((await stack.ended(leaf)).result?.value).toMatchObject({ verdict: "FLAGGED" });
  });

  test("is taken after a human's answer to the agent's own question, also by the next brain", async () => {
    const stack = await Stack.open(shared);
    const gate = await HeldCommand.make();
    const leaf = await stack.submit(scripted(ASK, bash(gate.command), submit("FLAGGED")), { kind, gates: HOLDS });
    const first = stack.brain({ BRAIN_GRACE_MS: "5000" });
    await decide(stack, leaf, await asked(stack, leaf), DecisionKind.APPROVE);
    await gate.begun();
    await first.kill("SIGKILL");
    await stack.store.releaseWorker(first.name, "killed");
    await gate.open();
    stack.brain();
    const ended = await stack.ended(leaf);
    expect(ended.result?.value).toMatchObject({ verdict: "FLAGGED" });
    expect((await stack.eventsOf(leaf, "gateOpened")).length).toBe(1);
  });
});

describe("a call that the leaf's policy holds", () => {
  test("is made once, behind the approval; one that the policy lets pass is not asked for", async () => {
    const stack = await Stack.open(shared);
    const script = scripted(bash("echo harmless >>log"), bash("echo danger >>log; cat log"), say("{{last_tool_result}}"));
    const leaf = await stack.submit(script, { gates: POLICY });
    const first = stack.brain();
    const gate = await asked(stack, leaf);
    expect(gate).toMatchObject({ tool: "bash" });
    expect(JSON.parse(gate.proposedAction)).toEqual({ command: "echo danger >>log; cat log" });
    expect((await first.exited).code).toBe(0);
    await decide(stack, leaf, gate, DecisionKind.APPROVE);
    stack.brain();
    expect((await stack.ended(leaf)).result?.text).toBe("harmless\ndanger\n");
  });

  test("is held where a terminal runs the command, and typing into one that an earlier leaf opened", async () => {
    const stack = await Stack.open(shared);
    const sessionId = "shared-terminal";
    const open = { action: "open", command: "PS1='> ' exec bash --norc", waitFor: "> " };
    const before = await stack.submit(scripted(calls({ name: "terminal", input: open }), say("{{last_tool_result}}")), { sessionId });
    stack.brain({ BRAIN_GRACE_MS: "20000" });
    const [, terminal = ""] = /^\[terminal (\w+),/.exec((await stack.ended(before)).result?.text ?? "") ?? [];
    const gates = create(GatePolicySchema, { tools: [{ tool: "bash" }] });
    for (const input of [
      { action: "type", terminal, text: "touch BYPASS\n" },
      { action: "open", command: "touch BYPASS" },
    ]) {
      const leaf = await stack.submit(scripted(calls({ name: "terminal", input }), say("over")), { sessionId, gates });
      const gate = await asked(stack, leaf);
      expect(JSON.parse(gate.proposedAction)).toEqual(input);
      await decide(stack, leaf, gate, DecisionKind.REJECT);
      expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.DONE });
    }
    const look = await stack.submit(scripted(calls({ name: "ls", input: {} }), say("{{last_tool_result}}")), { sessionId, gates });
    expect((await stack.ended(look)).result?.text).toBe("(empty directory)");
  });

  test("fails the leaf before anything is done where the policy misspells the tool", async () => {
    const stack = await Stack.open(shared);
    const gates = create(GatePolicySchema, { tools: [{ tool: "Bash" }] });
    const leaf = await stack.submit(scripted(bash("echo danger"), say("done")), { gates });
    stack.brain();
    const { failure, usage } = await stack.ended(leaf);
    expect(failure).toMatchObject({ reason: FailureReason.BAD_INPUTS, retryable: false, message: expect.stringContaining("no tool Bash") });
    expect(usage?.modelCalls ?? 0).toBe(0);
  });

  test("is never made where it is rejected, and the model is told", async () => {
    const stack = await Stack.open(shared);
    const leaf = await stack.submit(scripted(bash("echo danger >made"), bash("cat made || echo never"), say("{{last_tool_result}}")), {
      gates: POLICY,
    });
    stack.brain({ BRAIN_GRACE_MS: "5000" });
    await decide(stack, leaf, await asked(stack, leaf), DecisionKind.REJECT, "too dangerous");
    expect((await stack.ended(leaf)).result?.text).toContain("never");
    const ends = await stack.eventsOf(leaf, "toolEnded");
    expect(ends[0]).toMatchObject({ isError: true, text: expect.stringContaining("too dangerous") });
  });

  test("waits for the calls beside it, and is asked for once", async () => {
    const stack = await Stack.open(shared);
    const both = calls({ name: "bash", input: { command: "echo beside" } }, { name: "bash", input: { command: "echo danger" } });
    const leaf = await stack.submit(scripted(both, say("over")), { gates: POLICY });
    const first = stack.brain();
    const gate = await asked(stack, leaf);
    expect((await first.exited).code).toBe(0);
    expect((await stack.eventsOf(leaf, "toolEnded")).map(({ text }) => text)).toEqual(["beside\n"]);
    await decide(stack, leaf, gate, DecisionKind.APPROVE);
    stack.brain();
    expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.DONE });
    expect((await stack.eventsOf(leaf, "gateOpened")).length).toBe(1);
  });

  test("holds no brain, though a call before it was refused without being made", async () => {
    const stack = await Stack.open(shared);
    const refused = calls({ name: "nothing_of_that_name", input: {} });
    const leaf = await stack.submit(scripted(refused, bash("echo danger"), say("over")), { gates: POLICY });
    const first = stack.brain();
    const gate = await asked(stack, leaf);
    expect((await first.exited).code).toBe(0);
    await decide(stack, leaf, gate, DecisionKind.APPROVE);
    stack.brain();
    expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.DONE });
  });

  test("ends with its leaf's deadline while it waits, though nobody answered; an answer after it is refused with the reason", async () => {
    const stack = await Stack.open(shared);
    stack.brain({ BRAIN_GRACE_MS: "60000" });
    // The deadline counts from submission, so the brain is up and has worked before.
    await stack.ended(await stack.submit(scripted(bash("true"), say("warm"))));
    const limits = create(LimitsSchema, { deadlineMs: 6000n });
    const leaf = await stack.submit(scripted(bash("echo danger"), say("never said")), { gates: POLICY, limits, sessionId: "held" });
    const behind = await stack.submit(scripted(say("at last")), { sessionId: "held" });
    const gate = await asked(stack, leaf);
    expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.FAILED, failure: { reason: FailureReason.DEADLINE_EXCEEDED } });
    await expect(decide(stack, leaf, gate, DecisionKind.APPROVE)).rejects.toMatchObject({ reason: "leaf_ended" });
    expect((await stack.eventsOf(leaf, "gateDecided")).length).toBe(0);
    expect((await stack.ended(behind)).result?.text).toBe("at last");
  });

  test("is cancelled while nobody is there, and never made", async () => {
    const stack = await Stack.open(shared);
    const leaf = await stack.submit(scripted(bash("echo danger"), say("never said")), { gates: POLICY });
    const first = stack.brain();
    await asked(stack, leaf);
    expect((await first.exited).code).toBe(0);
    await stack.store.cancel(leaf.leafId, "anna");
    stack.brain();
    expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.CANCELLED, openGates: [] });
    expect((await stack.eventsOf(leaf, "toolEnded")).some(({ isError }) => !isError)).toBe(false);
  });
});
