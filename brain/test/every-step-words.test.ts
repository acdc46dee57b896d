import { create } from "@bufbuild/protobuf";
import { bash, say, scripted, scriptedFor } from "@serverless-harness/pi-fork/testing";
import { ForkSchema, type Leaf, LeafState, MessageMode } from "@serverless-harness/proto/leaf";
import { expect, test } from "vitest";
import { machines, type Stack } from "./fixtures/stack.ts";
import { countInLog, strikes } from "./fixtures/strikes.ts";

const shared = machines();

/** Steps of a brain from its claim to behind the first request to the model. */
const STEPS = 20;

test("a brain may be killed at each step while it takes messages in: each is said once, in their order", { timeout: 400_000 }, async () => {
  const kills = await strikes(shared, STEPS, async (stack, { strike, run }) => {
    const heard = (before: string) => say(`${before} {{recall}}`, { recall: "psst: (\\w+)" });
    const leaf = await stack.submit(scriptedFor(4, bash("echo x >>n; wc -l <n"), heard("first"), heard("then")));
    const send = (messageId: string, mode: MessageMode) =>
      stack.store.send(leaf.leafId, { messageId, mode, text: `psst: ${messageId}`, sentBy: "" });
    await send("alpha", MessageMode.STEER);
    await send("beta", MessageMode.STEER);
    await send("gamma", MessageMode.FOLLOW_UP);
    await run();
    const ended = await stack.get(leaf);
    expect({ strike, state: ended.state, text: ended.result?.text }).toEqual({ strike, state: LeafState.DONE, text: "then gamma" });
    expect((await stack.eventsOf(leaf, "answer")).map(({ text }) => text)).toEqual(["", "first beta", "then gamma"]);
    for (const word of ["alpha", "beta", "gamma"])
      expect({ strike, word, said: await countInLog(stack, leaf, `psst: ${word}`) }).toEqual({ strike, word, said: 1 });
    const delivered = (await stack.eventsOf(leaf, "messageDelivered")).map(({ messageId }) => messageId);
    expect({ strike, delivered, unread: ended.messages }).toEqual({ strike, delivered: ["alpha", "beta", "gamma"], unread: [] });
  });
  expect(kills).toBeGreaterThan(STEPS - 3);
});

test("a brain may be killed at each step while it forks a session: there is one copy, and the model is told once", {
  timeout: 400_000,
}, async () => {
  let first: Leaf | undefined;
  const source = async (stack: Stack): Promise<Leaf> => {
    const leaf = await stack.submit(scripted(bash("echo 1 >n"), say("one")));
    await stack.brain().exited;
    await stack.submit(scripted(bash("echo 2 >>n"), say("two")), { sessionId: leaf.spec?.sessionId ?? "" });
    await stack.brain().exited;
    return leaf;
  };
  const kills = await strikes(shared, STEPS, async (stack, { strike, run }) => {
    first ??= await source(stack);
    const entryId = (await stack.eventsOf(first, "answer")).at(-1)?.entryId ?? "";
    const fork = create(ForkSchema, { sessionId: first.spec?.sessionId ?? "", entryId });
    const leaf = await stack.submit(scripted(bash("cat n"), say("{{last_tool_result}}")), { fork });
    await run();
    const { state, result } = await stack.get(leaf);
    expect({ strike, state, text: result?.text }).toEqual({ strike, state: LeafState.DONE, text: "1\n2\n" });
    expect({ strike, told: await countInLog(stack, leaf, '"text":"Note of the harness') }).toEqual({ strike, told: 1 });
    // The first turn, the note, and this one.
    expect((await shared.model.requests()).at(-1)?.messages).toBe(8);
    expect(await countInLog(stack, first, "Note of the harness")).toBe(0);
  });
  expect(kills).toBeGreaterThan(STEPS - 3);
});
