import { create } from "@bufbuild/protobuf";
import { bash, calls, HeldCommand, say, scripted, scriptedFor } from "@serverless-harness/pi-fork/testing";
import { DecisionKind, GatePolicySchema, LeafKind, LeafState } from "@serverless-harness/proto/leaf";
import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { describe, expect, onTestFinished, test } from "vitest";
import { machines, Stack } from "./fixtures/stack.ts";

const shared = machines();
const server = redisServer();

function openStack(): Promise<Stack> {
  return Stack.open(shared, onTestFinished, server().freshUrl());
}

describe("a brain whose store is a Redis", () => {
  test("runs a turn to its end and goes, and the next one recalls it", async () => {
    const stack = await openStack();
    const first = await stack.submit("Remember the secret word: kumquat", { sessionId: "s" });
    const brain = stack.brain();
    expect(await stack.ended(first)).toMatchObject({ state: LeafState.DONE, claims: 1, failedAttempts: 0 });
    expect(await brain.exited).toEqual({ code: 0, signal: null });
    expect(brain.errors).toEqual([]);
    const second = await stack.submit("What is the secret word?", { sessionId: "s" });
    stack.brain();
    expect((await stack.ended(second)).result?.text).toContain("kumquat");
  });

  test("is replaced when it is killed in the middle of a command, which has run once", async () => {
    const stack = await openStack();
    const held = await HeldCommand.make();
    const leaf = await stack.submit(scripted(bash(held.command), say("{{last_tool_result}}")));
    const first = stack.brain();
    await held.begun();
    await stack.crash(first);
    stack.brain();
    await stack.when(leaf, ({ event }) => event.case === "toolStarted" && event.value.resumed);
    await held.open();
    expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.DONE, claims: 2, failedAttempts: 0, usage: { modelCalls: 2 } });
    expect(await held.log()).toEqual(["begun", "done"]);
  });

  test("hands in the result of a task once, when it is killed between that call and one beside it", async () => {
    const stack = await openStack();
    const held = await HeldCommand.make();
    const outputSchema = { type: "object", properties: { count: { type: "integer" } }, required: ["count"] };
    const step = calls({ name: "submit_result", input: { count: 7 } }, { name: "bash", input: { command: held.command } });
    const leaf = await stack.submit(scripted(calls({ name: "submit_result", input: {} }), step), { kind: LeafKind.TASK, outputSchema });
    const first = stack.brain();
    await stack.when(leaf, ({ event }) => event.case === "toolEnded" && event.value.tool === "submit_result" && !event.value.isError);
    await held.begun();
    await stack.crash(first);
    stack.brain();
    await stack.when(leaf, ({ event }) => event.case === "toolStarted" && event.value.resumed);
    await held.open();
    const ended = await stack.ended(leaf);
    expect(ended).toMatchObject({ state: LeafState.DONE, claims: 2, usage: { modelCalls: 2 } });
    expect(ended.result?.value).toEqual({ count: 7 });
    expect(await held.log()).toEqual(["begun", "done"]);
    const results = await stack.eventsOf(leaf, "toolEnded");
    expect(results.filter(({ tool }) => tool === "submit_result").map(({ isError }) => isError)).toEqual([true, false]);
  });

  test("goes on when the Redis is killed and started again in the middle of a command", async () => {
    const stack = await openStack();
    const held = await HeldCommand.make();
    const leaf = await stack.submit(scripted(bash(held.command), say("{{last_tool_result}}")));
    stack.brain();
    await held.begun();
    await server().kill();
    await held.open();
    await server().restart();
    expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.DONE, failedAttempts: 0 });
    expect(await held.log()).toEqual(["begun", "done"]);
    const seqs = (await stack.events(leaf)).map(({ seq }) => seq);
    expect(seqs).toEqual(seqs.map((_, i) => BigInt(i + 1)));
  });

  test("goes on in another sandbox with the files of the one that was lost, under a brain of another life", async () => {
    const stack = await openStack();
    const gates = create(GatePolicySchema, { tools: [{ tool: "bash", arguments: "gated" }] });
    const first = await stack.submit(scripted(bash("echo of-the-first >a.txt"), say("done")), { sessionId: "moves" });
    const steps = [bash("echo more >>a.txt"), bash("cat a.txt # gated"), bash("cat a.txt"), say("{{last_tool_result}}")];
    const leaf = await stack.submit(scripted(...steps), { sessionId: "moves", gates });
    const brain = stack.brain();
    const { openGates } = await stack.inState(leaf, LeafState.AWAITING_APPROVAL);
    expect((await brain.exited).code).toBe(0);
    await shared.hands.replace();
    await stack.store.decide(leaf.leafId, openGates[0]?.gateId ?? "", { kind: DecisionKind.APPROVE, feedback: "", decidedBy: "anna" });
    stack.brain();
    expect((await stack.ended(leaf)).result?.text).toBe("of-the-first\nmore\n");
    expect(await stack.eventsOf(leaf, "workspaceRestored")).toMatchObject([{ snapshotId: `${leaf.leafId}.2`, behind: false }]);
    expect((await stack.eventsOf(first, "snapshotTaken")).length).toBe(1);
  });

  test("tells the model what is gone with a sandbox, and runs no command again that had begun there", async () => {
    const stack = await openStack();
    const held = await HeldCommand.make();
    await stack.submit(scripted(bash("echo a >a.txt"), say("done")), { sessionId: "loses" });
    const told = say("{{last_tool_result}} {{recall}}", { recall: "(Note of the harness[^\\n]*)" });
    const leaf = await stack.submit(scriptedFor(2, bash(held.command), told), { sessionId: "loses" });
    const brain = stack.brain();
    await held.begun();
    await stack.crash(brain);
    await shared.hands.replace();
    stack.brain();
    expect((await stack.ended(leaf)).result?.text).toMatch(/The sandbox was lost while this call ran.*Note of the harness.* snapshot /);
    expect(await held.log()).toEqual(["begun"]);
  });
});
