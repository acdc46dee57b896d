import { dirname } from "node:path";
import { pidNamespace } from "@serverless-harness/kit/proc";
import { bash, calls, HeldCommand, say, scripted } from "@serverless-harness/pi-fork/testing";
import { LeafState } from "@serverless-harness/proto/leaf";
import { describe, expect, test } from "vitest";
import { machines, resident, Stack } from "./fixtures/stack.ts";

const shared = machines();
const house = resident(shared);

describe("a turn", () => {
  test("ends with the model's answer, and the brain goes when nothing is left to do", async () => {
    const stack = await Stack.open(shared);
    const leaf = await stack.submit("Remember the secret word: kiwi");
    const brain = stack.brain();
    const ended = await stack.ended(leaf);
    expect(ended).toMatchObject({ state: LeafState.DONE, claims: 1, failedAttempts: 0 });
    expect(ended.result?.text).toBe("OK");
    expect(ended.usage).toMatchObject({ modelCalls: 1 });
    expect(ended.usage?.costMicroUsd).toBeGreaterThan(0n);
    expect(await brain.exited).toEqual({ code: 0, signal: null });
    expect(brain.errors).toEqual([]);
  });

  test("tells what happens as it happens, in order", async () => {
    const stack = await Stack.open(shared);
    const leaf = await stack.submit(
      scripted({ ...bash("echo from-the-sandbox"), text: "Let me see." }, say("I saw:\n{{last_tool_result}}")),
    );
    const brain = stack.brain();
    await stack.ended(leaf);
    const events = await stack.events(leaf);
    const kinds = events.map(({ event }) => event.case).filter((kind) => kind !== "toolOutput");
    expect(kinds.filter((kind, index) => kind !== "textDelta" || kinds[index - 1] !== "textDelta")).toEqual([
      "stateChanged",
      "stateChanged",
      "modelCallStarted",
      "textDelta",
      "answer",
      "usage",
      "toolStarted",
      "toolEnded",
      "modelCallStarted",
      "textDelta",
      "answer",
      "usage",
      "snapshotTaken",
      "stateChanged",
    ]);
    const [started] = await stack.eventsOf(leaf, "toolStarted");
    const [result] = await stack.eventsOf(leaf, "toolEnded");
    expect(started).toMatchObject({ tool: "bash", arguments: { command: "echo from-the-sandbox" }, resumed: false });
    expect(result).toMatchObject({ invocationId: started?.invocationId, tool: "bash", text: "from-the-sandbox\n", isError: false });
    const [first, second] = await stack.eventsOf(leaf, "answer");
    expect(first).toMatchObject({ text: "Let me see.", toolCalls: 1 });
    expect(second).toMatchObject({ text: "I saw:\nfrom-the-sandbox\n", toolCalls: 0 });
    const pieces = await stack.eventsOf(leaf, "textDelta");
    expect(pieces.map((piece) => piece.text).join("")).toBe(`${first?.text}${second?.text}`);
    expect(await stack.eventsOf(leaf, "modelCallStarted")).toMatchObject([
      { model: "anthropic/claude-sonnet-4-5", attempt: 1 },
      { model: "anthropic/claude-sonnet-4-5", attempt: 1 },
    ]);
    const [, running] = await stack.eventsOf(leaf, "stateChanged");
    expect(running?.worker).toMatchObject({ name: brain.name, pid: BigInt(brain.pid), pidNamespace: pidNamespace() });
    expect(Number(running?.worker?.startedAtMs)).toBeLessThanOrEqual(Number(events[1]?.timeMs));
    expect(Number(running?.worker?.startedAtMs)).toBeGreaterThan(Number(leaf.createdAtMs) - 60_000);
  });

  test("recalls the turn before it, in a process of its own", async () => {
    const stack = await Stack.open(shared);
    const first = await stack.submit("Remember the secret word: kumquat");
    await stack.brain().exited;
    const { spec } = await stack.get(first);
    const second = await stack.submit("What is the secret word?", { sessionId: spec?.sessionId ?? "" });
    const brain = stack.brain();
    expect((await stack.ended(second)).result?.text).toContain("kumquat");
    expect((await stack.ended(second)).worker?.name).not.toBe((await stack.ended(first)).worker?.name ?? brain.name);
  });

  test("shows what a command writes while it runs, the last of it", async () => {
    const { stack } = house;
    const held = await HeldCommand.make();
    const leaf = await stack.submit(scripted(bash(`seq 1500; ${held.command}`), say("done")));
    await held.begun();
    await stack.when(leaf, ({ event }) => event.case === "toolOutput" && event.value.text.endsWith("1500\nbegun\n"));
    await held.open();
    await stack.ended(leaf);
    const outputs = await stack.eventsOf(leaf, "toolOutput");
    expect(outputs.filter(({ text }) => Buffer.byteLength(text) > 4096)).toEqual([]);
  });

  test("puts the leaf's own instructions first and names the model that the leaf asks for", async () => {
    const stack = await Stack.open(shared);
    const leaf = await stack.submit(scripted(say("done")), { model: "anthropic/claude-haiku-4-5", systemPrompt: "Be brief." });
    stack.brain({ LEAF_MODEL: "anthropic/claude-opus-4-5" });
    expect((await stack.ended(leaf)).state).toBe(LeafState.DONE);
    expect(await stack.eventsOf(leaf, "modelCallStarted")).toMatchObject([{ model: "anthropic/claude-haiku-4-5" }]);
    expect((await shared.model.requests()).at(-1)?.model).toBe("claude-haiku-4-5");
  });

  test("changes the model between two turns of a session", async () => {
    const { stack } = house;
    const first = await stack.submit(scripted(say("one")), { model: "anthropic/claude-haiku-4-5" });
    const second = await stack.submit(scripted(say("two")), {
      ...first.spec,
      prompt: scripted(say("two")),
      model: "anthropic/claude-opus-4-5",
    });
    await stack.ended(second);
    expect(await stack.eventsOf(second, "modelCallStarted")).toMatchObject([{ model: "anthropic/claude-opus-4-5" }]);
  });

  test("makes several tool calls at once", async () => {
    const { stack } = house;
    const [a, b] = [await HeldCommand.make(), await HeldCommand.make()];
    const leaf = await stack.submit(
      scripted(
        calls({ name: "bash", input: { command: a.command } }, { name: "bash", input: { command: b.command } }, { name: "ls", input: {} }),
        say("all done"),
      ),
    );
    await Promise.all([a.begun(), b.begun()]);
    await b.open();
    await stack.when(leaf, ({ event }) => event.case === "toolEnded" && event.value.tool === "bash");
    await a.open();
    expect((await stack.ended(leaf)).result?.text).toBe("all done");
    expect((await stack.eventsOf(leaf, "toolEnded")).map((end) => [end.tool, end.isError])).toEqual([
      ["ls", false],
      ["bash", false],
      ["bash", false],
    ]);
  });

  test("goes on where the model calls a tool that is not there, or in a way that can't be", async () => {
    const { stack } = house;
    const leaf = await stack.submit(
      scripted(calls({ name: "no_such_tool", input: { a: 1 } }, { name: "bash", input: { wrong: true } }), say("so be it")),
    );
    expect((await stack.ended(leaf)).result?.text).toBe("so be it");
    const started = await stack.eventsOf(leaf, "toolStarted");
    const ended = await stack.eventsOf(leaf, "toolEnded");
    expect(started.map((each) => each.tool)).toEqual(["no_such_tool", "bash"]);
    expect(ended.map((each) => each.isError)).toEqual([true, true]);
    expect(ended.map((each) => each.invocationId)).toEqual(started.map((each) => each.invocationId));
  });
});

describe("many leaves", () => {
  test("of one session run one behind the other, in the order of submission", async () => {
    const { stack } = house;
    const sessionId = "one";
    const leaves = [];
    for (let i = 0; i < 4; i++)
      leaves.push(await stack.submit(scripted(bash(`echo ${i} >>log; cat log`), say("{{last_tool_result}}")), { sessionId }));
    const texts = [];
    for (const leaf of leaves) texts.push((await stack.ended(leaf)).result?.text);
    expect(texts).toEqual(["0\n", "0\n1\n", "0\n1\n2\n", "0\n1\n2\n3\n"]);
  });

  test("of ten sessions run at once in one brain", async () => {
    const { stack } = house;
    const directory = dirname(stack.storeUrl.slice("sqlite:".length));
    // Each waits until all of them have begun: none would end if one had to wait for another.
    const command = (i: number) =>
      `touch ${directory}/${i}.met; until [ $(ls ${directory}/*.met | wc -l) -eq 10 ]; do sleep 0.02; done; echo met`;
    const leaves = await Promise.all(
      Array.from({ length: 10 }, (_, i) => stack.submit(scripted(bash(command(i)), say("{{last_tool_result}}")))),
    );
    const ended = await Promise.all(leaves.map((leaf) => stack.ended(leaf)));
    expect(ended.map((leaf) => leaf.result?.text)).toEqual(leaves.map(() => "met\n"));
    const workers = await Promise.all(leaves.map(async (leaf) => (await stack.eventsOf(leaf, "stateChanged"))[1]?.worker?.name));
    expect(new Set(workers).size).toBe(1);
  });

  test("are no more at once than the brain may run", async () => {
    const stack = await Stack.open(shared);
    const commands = [await HeldCommand.make(), await HeldCommand.make(), await HeldCommand.make()];
    const leaves = [];
    for (const held of commands) leaves.push(await stack.submit(scripted(bash(held.command), say("done"))));
    stack.brain({ BRAIN_CONCURRENCY: "2" });
    await Promise.all([commands[0]?.begun(), commands[1]?.begun()]);
    expect(await stack.store.backlog()).toMatchObject({ ready: 1, running: 2 });
    await commands[0]?.open();
    await commands[2]?.begun();
    await Promise.all([commands[1]?.open(), commands[2]?.open()]);
    for (const leaf of leaves) expect((await stack.ended(leaf)).state).toBe(LeafState.DONE);
  });

  test("that come while the brain is about to go are taken as well", async () => {
    const stack = await Stack.open(shared);
    const first = await stack.submit(scripted(say("one")));
    const brain = stack.brain({ BRAIN_GRACE_MS: "20000" });
    await stack.ended(first);
    const second = await stack.submit(scripted(say("two")));
    expect((await stack.ended(second)).result?.text).toBe("two");
    await brain.kill("SIGTERM");
  });
});
