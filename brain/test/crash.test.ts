import { readFile } from "node:fs/promises";
import { isSameProcess, processStartTicks } from "@serverless-harness/kit/proc";
import { bash, calls, HeldCommand, say, scripted } from "@serverless-harness/pi-fork/testing";
import { type Leaf, LeafState } from "@serverless-harness/proto/leaf";
import { describe, expect, test } from "vitest";
import { HoldingProxy } from "./fixtures/proxy.ts";
import { machines, Stack } from "./fixtures/stack.ts";
import { until } from "./fixtures/until.ts";

const shared = machines();

/** What the leaf's log says of the one command that ran, whichever brains ran it. */
async function story(stack: Stack, leaf: Leaf) {
  const answers = (await stack.eventsOf(leaf, "answer")).map(({ text }) => text);
  const ends = (await stack.eventsOf(leaf, "toolEnded")).map(({ text, isError }) => ({ text, isError }));
  const starts = (await stack.eventsOf(leaf, "toolStarted")).map(({ resumed }) => resumed);
  return { answers, ends, starts };
}

const ONCE = { ends: [{ text: "begun\ndone\n", isError: false }], answers: ["", "begun\ndone\n"] };

describe("a brain that is killed in the middle of a command", () => {
  test("is replaced, and the command has run once, with all its output and one answer", async () => {
    const stack = await Stack.open(shared);
    const held = await HeldCommand.make();
    const leaf = await stack.submit(scripted(bash(held.command), say("{{last_tool_result}}")));
    const first = stack.brain();
    await held.begun();
    await stack.when(leaf, ({ event }) => event.case === "toolStarted");
    await stack.crash(first);
    const second = stack.brain();
    await stack.when(leaf, ({ event }) => event.case === "toolStarted" && event.value.resumed);
    await held.open();
    expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.DONE, claims: 2, failedAttempts: 0, usage: { modelCalls: 2 } });
    expect(await held.log()).toEqual(["begun", "done"]);
    expect(await story(stack, leaf)).toEqual({ ...ONCE, starts: [false, true] });
    expect((await second.exited).code).toBe(0);
  });

  test("is replaced when its lease ends, where nobody knows of its death", async () => {
    const stack = await Stack.open(shared);
    const held = await HeldCommand.make();
    const leaf = await stack.submit(scripted(bash(held.command), say("{{last_tool_result}}")));
    const first = stack.brain({ BRAIN_LEASE_MS: "600" });
    await held.begun();
    const second = stack.brain({ BRAIN_GRACE_MS: "5000" });
    await first.kill("SIGKILL");
    await stack.when(leaf, ({ event }) => event.case === "toolStarted" && event.value.resumed);
    await held.open();
    expect((await stack.ended(leaf)).result?.text).toBe("begun\ndone\n");
    expect(await held.log()).toEqual(["begun", "done"]);
    const states = await stack.eventsOf(leaf, "stateChanged");
    expect(states.map(({ note }) => note)).toContain("lease expired");
    await second.kill("SIGTERM");
  });

  test("loses nothing of a command that ends while no brain lives", async () => {
    const stack = await Stack.open(shared);
    const held = await HeldCommand.make();
    const leaf = await stack.submit(scripted(bash(held.command), say("{{last_tool_result}}")));
    const first = stack.brain();
    await held.begun();
    await stack.when(leaf, ({ event }) => event.case === "toolStarted");
    await first.kill("SIGKILL");
    await held.open();
    await until(async () => (await held.log()).includes("done"));
    await stack.store.releaseWorker(first.name, "killed");
    stack.brain();
    await stack.ended(leaf);
    expect(await held.log()).toEqual(["begun", "done"]);
    expect(await story(stack, leaf)).toEqual({ ...ONCE, starts: [false, true] });
  });

  test("and its successor as well: the third finds the command still running", async () => {
    const stack = await Stack.open(shared);
    const held = await HeldCommand.make();
    const leaf = await stack.submit(scripted(bash(held.command), say("{{last_tool_result}}")));
    for (let i = 0; i < 2; i++) {
      const brain = stack.brain();
      if (i === 0) await held.begun();
      else await stack.when(leaf, ({ event }) => event.case === "toolStarted" && event.value.resumed);
      await stack.crash(brain);
    }
    stack.brain();
    await stack.when(leaf, ({ event, seq }) => event.case === "toolStarted" && event.value.resumed && seq > 6n);
    await held.open();
    expect((await stack.ended(leaf)).claims).toBe(3);
    expect(await held.log()).toEqual(["begun", "done"]);
  });

  test("only repeats those of several calls that had not ended", async () => {
    const stack = await Stack.open(shared);
    const held = await HeldCommand.make();
    const quick = { name: "bash", input: { command: "echo quick | tee -a quick.log" } };
    const leaf = await stack.submit(
      scripted(calls(quick, { name: "bash", input: { command: held.command } }), bash("cat quick.log"), say("{{last_tool_result}}")),
    );
    const first = stack.brain();
    await held.begun();
    await stack.when(leaf, ({ event }) => event.case === "toolEnded");
    await stack.crash(first);
    stack.brain();
    await stack.when(leaf, ({ event }) => event.case === "toolStarted" && event.value.resumed);
    await held.open();
    expect((await stack.ended(leaf)).result?.text).toBe("quick\n");
    expect(await held.log()).toEqual(["begun", "done"]);
    expect((await stack.eventsOf(leaf, "toolStarted")).map(({ resumed }) => resumed)).toEqual([false, false, true, false]);
  });
});

test("an edit is made once, though its brain died before it learned of it", async () => {
  const stack = await Stack.open(shared);
  const proxy = await HoldingProxy.open(shared.hands.address);
  const edit = { path: "f", edits: [{ oldText: "a\n", newText: "a\na\n" }] };
  const leaf = await stack.submit(
    scripted(
      calls({ name: "bash", input: { command: "printf 'a\\n' >f; realpath f" } }),
      { ...calls({ name: "edit", input: edit }), delay_ms: 300 },
      bash("cat f"),
      say("{{last_tool_result}}"),
    ),
  );
  const first = stack.brain({ HANDS_URL: proxy.address });
  await stack.when(leaf, ({ event }) => event.case === "toolEnded");
  const [made] = await stack.eventsOf(leaf, "toolEnded");
  // The model thinks about the edit meanwhile.
  proxy.holdAnswers();
  await until(async () => (await readFile(made?.text.trim() ?? "", "utf8")) === "a\na\n");
  await stack.crash(first);
  stack.brain();
  expect((await stack.ended(leaf)).result?.text).toBe("a\na\n");
  expect((await stack.eventsOf(leaf, "toolEnded"))[1]).toMatchObject({
    tool: "edit",
    text: "Successfully replaced 1 block(s) in f.",
    isError: false,
  });
});

test("a brain that is killed while the model answers has the answer asked for again, and its pieces are void", async () => {
  const stack = await Stack.open(shared);
  const text = "x".repeat(400);
  const leaf = await stack.submit(scripted(say(text, { chunk_chars: 4, chunk_delay_ms: 20 })));
  const first = stack.brain();
  await stack.when(leaf, ({ event }) => event.case === "textDelta");
  await stack.crash(first);
  stack.brain();
  expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.DONE, failedAttempts: 0, result: { text } });
  const events = await stack.events(leaf);
  const discarded = events.findIndex(({ event }) => event.case === "answerDiscarded");
  const pieces = events.slice(discarded).flatMap(({ event }) => (event.case === "textDelta" ? [event.value.text] : []));
  expect(discarded).toBeGreaterThan(0);
  expect(pieces.join("")).toBe(text);
  expect((await stack.eventsOf(leaf, "answer")).map((answer) => answer.text)).toEqual([text]);
});

describe("a brain that is asked to stop", () => {
  test("hands its leaves back at once, goes with code 0, and its command goes on", async () => {
    const stack = await Stack.open(shared);
    const held = await HeldCommand.make();
    const leaf = await stack.submit(scripted(bash(held.command), say("{{last_tool_result}}")));
    const first = stack.brain();
    await held.begun();
    expect(await first.kill("SIGTERM")).toEqual({ code: 0, signal: null });
    expect(await stack.get(leaf)).toMatchObject({ state: LeafState.SUSPENDED, failedAttempts: 0 });
    expect((await stack.eventsOf(leaf, "stateChanged")).at(-1)?.note).toBe("brain drained");
    stack.brain();
    await stack.when(leaf, ({ event }) => event.case === "toolStarted" && event.value.resumed);
    await held.open();
    expect((await stack.ended(leaf)).result?.text).toBe("begun\ndone\n");
    expect(await held.log()).toEqual(["begun", "done"]);
    expect((await stack.eventsOf(leaf, "toolEnded")).length).toBe(1);
  });

  test("lets go of an answer that is being streamed", async () => {
    const stack = await Stack.open(shared);
    const text = "y".repeat(200);
    const leaf = await stack.submit(scripted(say(text, { chunk_chars: 4, chunk_delay_ms: 20 })));
    const first = stack.brain();
    await stack.when(leaf, ({ event }) => event.case === "textDelta");
    expect((await first.kill("SIGINT"))?.code).toBe(0);
    stack.brain();
    expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.DONE, failedAttempts: 0, result: { text } });
  });

  test("a second time ends at once", async () => {
    const stack = await Stack.open(shared);
    const proxy = await HoldingProxy.open(shared.hands.address);
    const leaf = await stack.submit(scripted(say("never")));
    proxy.holdAnswers();
    const brain = stack.brain({ HANDS_URL: proxy.address });
    await brain.logged("leaf claimed");
    await brain.kill("SIGSTOP");
    void brain.kill("SIGTERM");
    void brain.kill("SIGINT");
    await brain.kill("SIGCONT");
    expect((await brain.exited).signal ?? (await brain.exited).code).not.toBeUndefined();
    expect((await stack.get(leaf)).state).not.toBe(LeafState.DONE);
  });
});

test("a brain that was stopped, replaced and continued writes nothing and kills nothing", async () => {
  const stack = await Stack.open(shared);
  const held = await HeldCommand.make();
  const leaf = await stack.submit(scripted(bash(held.command), say("{{last_tool_result}}")));
  const old = stack.brain({ BRAIN_LEASE_MS: "600" });
  await held.begun();
  await stack.freeze(old);
  const next = stack.brain({ BRAIN_GRACE_MS: "5000" });
  await stack.when(leaf, ({ event }) => event.case === "toolStarted" && event.value.resumed);
  const before = await stack.events(leaf);
  await old.kill("SIGCONT");
  expect(await old.exited).toEqual({ code: 0, signal: null });
  const added = (await stack.events(leaf)).slice(before.length).map(({ event }) => event.case);
  expect(added.filter((kind) => kind !== "toolOutput")).toEqual([]);
  expect(await held.log()).toEqual(["begun"]);
  await held.open();
  expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.DONE, result: { text: "begun\ndone\n" } });
  expect(await held.log()).toEqual(["begun", "done"]);
  expect(await story(stack, leaf)).toMatchObject(ONCE);
  await next.kill("SIGTERM");
});

test("a leaf that was over before its brain could say so is over without another request", async () => {
  const stack = await Stack.open(shared);
  const leaf = await stack.submit(scripted(bash("echo once >>ran; cat ran"), say("{{last_tool_result}}")));
  for (let i = 0; i < 3; i++) {
    const brain = stack.brain();
    // Killed somewhere along the way, each time a little further.
    await stack.when(leaf, ({ event }) => event.case === (["modelCallStarted", "toolStarted", "answer"] as const)[i]);
    const pid = await brain.started;
    const ticks = processStartTicks(pid);
    await brain.kill("SIGKILL");
    expect(ticks !== undefined && isSameProcess(pid, ticks)).toBe(false);
    await stack.store.releaseWorker(brain.name, "killed");
  }
  stack.brain();
  expect((await stack.ended(leaf)).result?.text).toBe("once\n");
  expect((await stack.eventsOf(leaf, "answer")).length).toBe(2);
});
