import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { branchTip, BACKGROUND_CONTEXT as CONTEXT, insertEntry, type NewEntry, setValue } from "@earendil-works/pi-agent-core";
import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bash, bulk, FULL, HandsProcess, HeldCommand, ModelProcess, say, scripted } from "../testing/index.ts";
import { TestSession, told } from "./fixtures/session.ts";

const server = redisServer();
let hands: HandsProcess;
let model: ModelProcess;
beforeAll(async () => {
  [hands, model] = await Promise.all([HandsProcess.start(), ModelProcess.start()]);
});
afterAll(() => Promise.all([hands.stop(), model.stop()]));

/** Bytes that Redis sent to its clients while `work` ran. */
async function bytesRead(work: () => Promise<unknown>): Promise<number> {
  const before = await bytesSent();
  await work();
  return (await bytesSent()) - before;
}

/** Bytes that Redis sent so far. */
async function bytesSent(): Promise<number> {
  const socket = connect(server().port, "127.0.0.1");
  socket.end("INFO stats\r\nQUIT\r\n");
  return Number(/total_net_output_bytes:(\d+)/.exec(await text(socket))?.[1]);
}

/** Fill a session with 10,000 messages of 1,000 characters, and sum all but the last ten up. */
async function fill(s: TestSession): Promise<void> {
  const pi = await s.openLog();
  let tip: string | null = null;
  const entry = (fields: Record<string, unknown>): NewEntry => {
    const made = { id: pi.idGenerator.next(), parentId: tip, ...fields } as NewEntry;
    tip = made.id;
    return made;
  };
  const message = () => entry({ type: "message", message: { role: "user", content: "x".repeat(1000), timestamp: 1 } });
  for (let page = 0; page < 20; page++) {
    const entries = Array.from({ length: 500 }, message);
    await pi.mutate(
      (mutator) => mutator.commit([...entries.map((each) => insertEntry(each)), setValue(branchTip("main"), tip)], CONTEXT),
      CONTEXT,
    );
  }
  const last = [
    entry({ type: "compaction", summary: "Much was said.", retainedTail: [], tokensBefore: 1, fromHook: false }),
    ...Array.from({ length: 10 }, message),
  ];
  await pi.mutate(
    (mutator) => mutator.commit([...last.map((each) => insertEntry(each)), setValue(branchTip("main"), tip)], CONTEXT),
    CONTEXT,
  );
  await pi.close(CONTEXT);
}

test("a session of 10,000 messages is opened and gone on with from the last compaction", async () => {
  const s = await TestSession.open(hands, model, server().freshUrl());
  await fill(s);
  const held = await HeldCommand.make();
  const first = await s.agent();
  const prompt = scripted(bash(held.command), say("{{last_tool_result}}"));
  let run: Promise<unknown> = Promise.resolve();
  const begun = await bytesRead(async () => {
    run = first.agent.run("op", prompt);
    await held.begun();
  });
  await first.agent.close();
  await run;
  const takenUp = await bytesRead(async () => {
    const second = await s.agent();
    const resumed = second.agent.run("op", prompt);
    await held.open();
    expect(await resumed).toMatchObject({ kind: "completed" });
    await second.agent.close();
  });
  // Ten messages are read again for each request: all of them would be ten million bytes.
  for (const bytes of [begun, takenUp]) expect(bytes).toBeLessThan(150_000);
});

test("an operation that was summed up is taken up and told again without what came before", async () => {
  const s = await TestSession.open(hands, model, server().freshUrl());
  const held = await HeldCommand.make();
  const many = Array.from({ length: 19 }, () => bulk());
  const first = await s.agent();
  const run = first.agent.run("op", scripted(...many, bulk(FULL), bash(held.command), say("done")));
  await held.begun();
  await first.agent.close();
  await run;
  const second = await s.agent();
  let resumed: Promise<unknown> = Promise.resolve();
  const takenUp = await bytesRead(async () => {
    resumed = second.agent.run("op", "");
    while (told(second.events, "tool_started").length === 0) await sleep(5);
  });
  await held.open();
  expect(await resumed).toEqual({ kind: "completed", text: "done" });
  await second.agent.close();
  const again = await bytesRead(async () => expect(await (await s.agent()).agent.run("op", "")).toMatchObject({ kind: "completed" }));
  expect(told(second.events, "answer").length).toBe(2);
  // What was kept, and what came behind it; the operation has nearly a million.
  expect(takenUp).toBeLessThan(200_000);
  expect(again).toBeLessThan(200_000);
});
