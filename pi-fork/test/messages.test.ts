import { create } from "@bufbuild/protobuf";
import { type LeafMessage, LeafMessageSchema, MessageMode } from "@serverless-harness/proto/leaf";
import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { MessageSource } from "../index.ts";
import { bash, HandsProcess, HeldCommand, ModelProcess, say, scriptedFor } from "../testing/index.ts";
import { TestSession, told } from "./fixtures/session.ts";

const server = redisServer();
let hands: HandsProcess;
let model: ModelProcess;

beforeAll(async () => {
  [hands, model] = await Promise.all([HandsProcess.start(), ModelProcess.start()]);
});

afterAll(async () => {
  await Promise.all([hands.stop(), model.stop()]);
});

function message(messageId: string, sentAtMs: number, mode = MessageMode.STEER as MessageMode): LeafMessage {
  return create(LeafMessageSchema, { messageId, mode, text: `psst: ${messageId}`, sentAtMs: BigInt(sentAtMs) });
}

/** Has messages when it is asked, and remembers what was delivered. */
function sourceOf(...unread: LeafMessage[][]): MessageSource & { readonly ids: string[] } {
  const ids: string[] = [];
  return { ids, unread: async () => unread.shift() ?? [], delivered: async (delivered) => void ids.push(...delivered) };
}

const heard = say("heard {{recall}}", { recall: "psst: (.*)" });

const stores: Readonly<Record<string, () => Promise<TestSession>>> = {
  SQLite: () => TestSession.open(hands, model),
  Redis: () => TestSession.open(hands, model, server().freshUrl()),
};

describe.each(Object.entries(stores))("an agent on %s", (_, open) => {
  test("looks for messages once more when it would be done, and goes on with them", async () => {
    const session = await open();
    const source = sourceOf([message("a", 1), message("b", 2, MessageMode.FOLLOW_UP)], [message("c", 3)]);
    const { agent, events } = await session.agent({}, undefined, source);
    expect(await agent.run("op", scriptedFor(4, say("one"), heard, heard, heard))).toMatchObject({ kind: "completed", text: "heard c" });
    expect(told(events, "answer").map(({ text }) => text)).toEqual(["one", "heard a", "heard b", "heard c"]);
    expect(source.ids).toEqual(["a", "b", "c"]);
  });

  test("finds what is lined up, and what was read, when it is brought again: after another agent's death as well", async () => {
    const session = await open();
    const [first, second] = [await HeldCommand.make(), await HeldCommand.make()];
    const [a, b] = [message("a", 1), message("b", 2, MessageMode.FOLLOW_UP)];
    const prompt = scriptedFor(3, bash(first.command), bash(second.command), heard, heard);
    const deaf: MessageSource = { unread: async () => [], delivered: () => Promise.reject(new Error("killed in front of this")) };
    const before = (await session.agent({}, undefined, deaf)).agent;
    const running = before.run("op", prompt);
    await first.begun();
    await expect(before.deliver([a])).rejects.toThrow("killed");
    await first.open();
    await second.begun();
    await expect(before.deliver([a, b])).rejects.toThrow("killed");
    await before.close();
    expect(await running).toEqual({ kind: "suspended" });
    await session.newOwner();
    const source = sourceOf();
    const { agent } = await session.agent({}, undefined, source);
    const brought = agent.deliver([a, b]);
    const ended = agent.run("op", prompt);
    await brought;
    expect(source.ids).toEqual(["a", "b"]);
    await second.open();
    expect(await ended).toMatchObject({ kind: "completed", text: "heard b" });
    // Two calls with their results, an answer, the prompt and each message once.
    expect((await model.requests()).at(-1)?.messages).toBe(8);
  });

  test("that is cancelled leaves nothing of what was said to it to the session's next operation", async () => {
    const session = await open();
    const held = await HeldCommand.make();
    const { agent } = await session.agent({}, undefined, sourceOf());
    const running = agent.run("op", scriptedFor(1, bash(held.command)));
    await held.begun();
    await agent.deliver([message("a", 1)]);
    agent.cancel();
    await agent.deliver([message("b", 2)]);
    expect(await running).toEqual({ kind: "cancelled" });
    await agent.deliver([message("c", 3)]);
    await agent.close();
    const next = (await session.agent()).agent;
    expect(await next.run("op2", scriptedFor(1, heard))).toMatchObject({ kind: "completed" });
    // The prompt, the call, its result; the prompt.
    expect((await model.requests()).at(-1)?.messages).toBe(4);
  });
});
