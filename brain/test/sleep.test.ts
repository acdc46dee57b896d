import { bash, calls, HeldCommand, say, scripted } from "@serverless-harness/pi-fork/testing";
import { type Leaf, LeafState } from "@serverless-harness/proto/leaf";
import { describe, expect, test } from "vitest";
import { lookAgainAfter } from "../leaf/sleep.ts";
import { machines, Stack } from "./fixtures/stack.ts";
import { until } from "./fixtures/until.ts";
import { wakeDoor } from "./fixtures/wake-door.ts";

const shared = machines();

function asleep(stack: Stack, leaf: Leaf): Promise<Leaf> {
  return stack.when(leaf, ({ event }) => event.case === "stateChanged" && event.value.note === "waits for a command");
}

describe("a leaf whose command runs for long", () => {
  test("lets go of its brain, is woken when the command ends, and has all of its output", async () => {
    const stack = await Stack.open(shared);
    const { url, posted } = await wakeDoor(stack);
    const held = await HeldCommand.make();
    const leaf = await stack.submit(scripted(bash(held.command), say("{{last_tool_result}}")));
    const first = stack.brain({ BRAIN_WAKE_URL: url, BRAIN_SLEEP_AFTER_MS: "100" });
    await held.begun();
    expect(await asleep(stack, leaf)).toMatchObject({ state: LeafState.SUSPENDED, failedAttempts: 0 });
    expect((await first.exited).code).toBe(0);
    // No brain lives, and the command goes on.
    expect(await stack.store.backlog()).toMatchObject({ ready: 0, running: 0 });
    await held.open();
    await stack.when(leaf, ({ event }) => event.case === "stateChanged" && event.value.note === "woken");
    expect(posted.length).toBe(1);
    stack.brain({ BRAIN_WAKE_URL: url });
    expect((await stack.ended(leaf)).result?.text).toBe("begun\ndone\n");
    expect(await held.log()).toEqual(["begun", "done"]);
  });

  test("is due by itself within a minute where the call that would wake it is lost", async () => {
    const stack = await Stack.open(shared);
    const { url, posted } = await wakeDoor(stack, true);
    const held = await HeldCommand.make();
    const leaf = await stack.submit(scripted(bash(held.command), say("{{last_tool_result}}")));
    stack.brain({ BRAIN_WAKE_URL: url, BRAIN_SLEEP_AFTER_MS: "0" });
    await held.begun();
    const { updatedAtMs, notBeforeMs } = await asleep(stack, leaf);
    // It is worked out a little before it is written.
    expect(Number(notBeforeMs - updatedAtMs)).toBeGreaterThan(30_000);
    expect(Number(notBeforeMs - updatedAtMs)).toBeLessThanOrEqual(60_000);
    await held.open();
    await until(async () => posted.length > 0);
    expect((await stack.store.backlog()).nextDueMs).toBe(Number(notBeforeMs));
  });

  test("tells for how long its command has written nothing, whenever it looks", async () => {
    const stack = await Stack.open(shared);
    const held = await HeldCommand.make();
    const leaf = await stack.submit(scripted(bash(held.command), say("over")));
    // Hands refuses to call that address, so the leaf looks for itself soon.
    const elsewhere = { BRAIN_WAKE_URL: "http://127.0.0.1:1/elsewhere", BRAIN_SLEEP_AFTER_MS: "50", BRAIN_GRACE_MS: "60000" };
    stack.brain(elsewhere);
    await held.begun();
    const told = /^waits for a command that has written nothing for (a second|\d+ seconds)$/;
    const { state } = await stack.when(leaf, ({ event }) => event.case === "stateChanged" && told.test(event.value.note));
    expect(state).toBe(LeafState.SUSPENDED);
    await held.open();
    expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.DONE });
  });

  test("looks for itself ever more rarely, but every eight minutes", () => {
    expect([1, 2, 3, 4, 5, 6, 2000].map((claims) => lookAgainAfter(claims) / 1000)).toEqual([60, 120, 240, 480, 480, 480, 480]);
  });

  test("that no brain waits for at all comes to its end", async () => {
    const stack = await Stack.open(shared);
    const { url } = await wakeDoor(stack);
    const leaf = await stack.submit(scripted(bash("sleep 0.2; echo over"), bash("echo and over"), say("{{last_tool_result}}")));
    stack.brain({ BRAIN_WAKE_URL: url, BRAIN_SLEEP_AFTER_MS: "0", BRAIN_GRACE_MS: "10000" });
    expect((await stack.ended(leaf)).result?.text).toBe("and over\n");
  });

  test("sleeps only once every call of the answer does", async () => {
    const stack = await Stack.open(shared);
    const { url } = await wakeDoor(stack);
    const held = await HeldCommand.make();
    const both = calls({ name: "bash", input: { command: held.command } }, { name: "ls", input: { path: "." } });
    const leaf = await stack.submit(scripted(both, say("over")));
    stack.brain({ BRAIN_WAKE_URL: url, BRAIN_SLEEP_AFTER_MS: "50", BRAIN_GRACE_MS: "10000" });
    await held.begun();
    await asleep(stack, leaf);
    expect((await stack.eventsOf(leaf, "toolEnded")).map(({ tool }) => tool)).toEqual(["ls"]);
    await held.open();
    expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.DONE });
  });

  test("that is cancelled in its sleep has its command ended", async () => {
    const stack = await Stack.open(shared);
    const { url } = await wakeDoor(stack);
    const held = await HeldCommand.make();
    const leaf = await stack.submit(scripted(bash(held.command), say("never said")));
    const first = stack.brain({ BRAIN_WAKE_URL: url, BRAIN_SLEEP_AFTER_MS: "50" });
    await held.begun();
    await asleep(stack, leaf);
    await first.exited;
    await stack.store.cancel(leaf.leafId, "anna");
    stack.brain({ BRAIN_WAKE_URL: url });
    expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.CANCELLED });
    expect(await held.log()).toEqual(["begun"]);
  });

  test("keeps its brain where nobody could wake it", async () => {
    const stack = await Stack.open(shared);
    const leaf = await stack.submit(scripted(bash("sleep 0.3; echo over"), say("{{last_tool_result}}")));
    stack.brain({ BRAIN_SLEEP_AFTER_MS: "0" });
    expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.DONE, claims: 1 });
  });
});
