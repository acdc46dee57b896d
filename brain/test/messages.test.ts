import { DatabaseSync } from "node:sqlite";
import { create } from "@bufbuild/protobuf";
import { bash, calls, HeldCommand, say, scriptedFor } from "@serverless-harness/pi-fork/testing";
import { DecisionKind, GatePolicySchema, type Leaf, LeafKind, LeafState, MessageMode } from "@serverless-harness/proto/leaf";
import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { describe, expect, onTestFinished, test } from "vitest";
import { machines, Stack } from "./fixtures/stack.ts";

const shared = machines();
const server = redisServer();

/** Nothing comes with a heartbeat in the time of a test. */
const { STEER, FOLLOW_UP } = MessageMode;

/** What the model says that it heard, of all that is said to it so: the newest. */
const heard = (before = "heard"): ReturnType<typeof say> => say(`${before} {{recall}}`, { recall: "psst: (.*)" });

function send(stack: Stack, leaf: Leaf, messageId: string, words: string, mode: MessageMode = STEER) {
  return stack.store.send(leaf.leafId, { messageId, mode, text: `psst: ${words}`, sentBy: "ann" });
}

/** Resolves when so many messages were delivered, with their ids. */
async function delivered(stack: Stack, leaf: Leaf, count = 1): Promise<string[]> {
  let left = count;
  await stack.when(leaf, ({ event }) => event.case === "messageDelivered" && --left === 0);
  return (await stack.eventsOf(leaf, "messageDelivered")).map(({ messageId }) => messageId);
}

const stores: Readonly<Record<string, () => Promise<Stack>>> = {
  SQLite: () => Stack.open(shared),
  Redis: () => Stack.open(shared, onTestFinished, server().freshUrl()),
};

describe.each(Object.entries(stores))("a message, with a leaf store on %s,", (_, open) => {
  test("that comes during a long command is read behind it, in the next request to the model", async () => {
    const stack = await open();
    const gate = await HeldCommand.make();
    const leaf = await stack.submit(scriptedFor(2, bash(gate.command), heard()));
    stack.brain();
    await gate.begun();
    await send(stack, leaf, "m", "mind the gap");
    expect(await delivered(stack, leaf)).toEqual(["m"]);
    await gate.open();
    const ended = await stack.ended(leaf);
    expect(ended).toMatchObject({ state: LeafState.DONE, messages: [], result: { text: "heard mind the gap" }, usage: { modelCalls: 2 } });
  });

  test("that follows up is read when the agent would be done, and it goes on with that", async () => {
    const stack = await open();
    const gate = await HeldCommand.make();
    const leaf = await stack.submit(scriptedFor(2, bash(gate.command), heard("at first"), heard("then")));
    stack.brain();
    await gate.begun();
    await send(stack, leaf, "m", "and now the tests", FOLLOW_UP);
    await delivered(stack, leaf);
    await gate.open();
    expect((await stack.ended(leaf)).result?.text).toBe("then and now the tests");
    const answers = await stack.eventsOf(leaf, "answer");
    expect(answers.map(({ text }) => text.split(" ")[0])).toEqual(["", "at", "then"]);
    expect(answers[1]?.text).not.toContain("tests");
  });

  test("that was sent while the leaf was queued is read with the prompt, and several in their order", async () => {
    const stack = await open();
    const leaf = await stack.submit(scriptedFor(4, heard()));
    for (const id of ["c", "a", "b"]) await send(stack, leaf, id, `this is ${id}`);
    stack.brain();
    const ended = await stack.ended(leaf);
    expect(ended).toMatchObject({ messages: [], result: { text: "heard this is b" }, usage: { modelCalls: 1 } });
    expect((await stack.eventsOf(leaf, "messageDelivered")).map(({ messageId }) => messageId)).toEqual(["c", "a", "b"]);
  });

  test("to a leaf that waits for a human is read when it goes on", async () => {
    const stack = await open();
    const gates = create(GatePolicySchema, { tools: [{ tool: "bash" }] });
    const leaf = await stack.submit(scriptedFor(2, bash("echo done"), heard()), { gates });
    await stack.brain().exited;
    await send(stack, leaf, "m", "be careful");
    const waiting = await stack.get(leaf);
    expect(waiting).toMatchObject({ state: LeafState.AWAITING_APPROVAL, messages: [{ messageId: "m" }] });
    expect((await stack.store.backlog()).ready).toBe(0);
    const gateId = waiting.openGates[0]?.gateId ?? "";
    await stack.store.decide(leaf.leafId, gateId, { kind: DecisionKind.APPROVE, feedback: "", decidedBy: "" });
    stack.brain();
    expect(await stack.ended(leaf)).toMatchObject({ messages: [], result: { text: "heard be careful" } });
  });

  test("survives the brain that lined it up, and is read once", async () => {
    const stack = await open();
    const gate = await HeldCommand.make();
    const leaf = await stack.submit(scriptedFor(2, bash(gate.command), heard()));
    const first = stack.brain();
    await gate.begun();
    await send(stack, leaf, "m", "hold on");
    await delivered(stack, leaf);
    await stack.crash(first);
    stack.brain();
    await stack.when(leaf, ({ event }) => event.case === "toolStarted" && event.value.resumed);
    await gate.open();
    expect((await stack.ended(leaf)).result?.text).toBe("heard hold on");
    expect((await shared.model.requests()).at(-1)?.messages).toBe(4);
  });

  test("to a task that has handed its result in stays unread", async () => {
    const stack = await open();
    const gate = await HeldCommand.make();
    const verdict = { name: "submit_verdict", input: { item_id: "i", verdict: "CLEAR", reason: "r" } };
    const leaf = await stack.submit(scriptedFor(2, calls(verdict, { name: "bash", input: { command: gate.command } })), {
      kind: LeafKind.TASK,
    });
    stack.brain();
    await gate.begun();
    await stack.when(leaf, ({ event }) => event.case === "toolEnded" && event.value.tool === "submit_verdict");
    await send(stack, leaf, "late", "too late");
    await gate.open();
    const ended = await stack.ended(leaf);
    expect(ended).toMatchObject({ state: LeafState.DONE, messages: [{ messageId: "late" }], usage: { modelCalls: 1 } });
    expect(ended.result?.value).toMatchObject({ verdict: "CLEAR" });
  });

  test("is not needed for a cancel to be heard of at once", async () => {
    const stack = await open();
    const gate = await HeldCommand.make();
    const leaf = await stack.submit(scriptedFor(1, bash(gate.command)));
    stack.brain();
    await gate.begun();
    await stack.store.cancel(leaf.leafId, "ann");
    expect((await stack.ended(leaf)).state).toBe(LeafState.CANCELLED);
  });
});

test("a message that is in the session's log is not put there again, where the brain was killed before the leaf's record said so", async () => {
  const stack = await Stack.open(shared);
  const gate = await HeldCommand.make();
  const leaf = await stack.submit(scriptedFor(3, bash(gate.command), heard()));
  // Between Pi's commit and the record is where this store fails.
  const db = new DatabaseSync(stack.storeUrl.slice("sqlite:".length), { timeout: 5000 });
  onTestFinished(() => db.close());
  db.exec(`CREATE TRIGGER hold BEFORE UPDATE OF unread ON harness_leaves WHEN length(coalesce(NEW.unread, '')) < length(OLD.unread)
    BEGIN SELECT RAISE(ABORT, 'held'); END`);
  const first = stack.brain();
  await gate.begun();
  await send(stack, leaf, "m", "once");
  await first.logged("messages could not be delivered");
  await first.kill("SIGKILL");
  expect((await stack.get(leaf)).messages).toMatchObject([{ messageId: "m" }]);
  await send(stack, leaf, "n", "once more");
  db.exec("DROP TRIGGER hold");
  await stack.store.releaseWorker(first.name, "killed");
  stack.brain();
  expect(await delivered(stack, leaf, 2)).toEqual(["m", "n"]);
  await gate.open();
  expect((await stack.ended(leaf)).result?.text).toBe("heard once more");
  // The prompt, the call, its result, and two messages.
  expect((await shared.model.requests()).at(-1)?.messages).toBe(5);
});
