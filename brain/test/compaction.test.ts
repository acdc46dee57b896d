import { bash, bulk, FULL, say, scriptedWith } from "@serverless-harness/pi-fork/testing";
import { LeafState } from "@serverless-harness/proto/leaf";
import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { describe, expect, onTestFinished, test } from "vitest";
import { machines, Stack } from "./fixtures/stack.ts";
import { until } from "./fixtures/until.ts";

const shared = machines();
const server = redisServer();
const steps = [bulk(), bulk(), bulk(), bulk(FULL), bash("echo behind it"), say("{{last_tool_result}}")];

/** A request for a step waits for its answer. */
async function held(step: string): Promise<void> {
  await until(async () => (await shared.model.requests()).some((request) => request.step === step && request.outcome === "open"));
}

describe.each([
  ["SQLite", () => undefined],
  ["Redis", () => server().freshUrl()],
])("a leaf that grows too long, on %s", (_store, url) => {
  const openStack = () => Stack.open(shared, onTestFinished, url());

  test("is summed up, announces it, and goes on", async () => {
    const stack = await openStack();
    const leaf = await stack.submit(scriptedWith({}, ...steps));
    stack.brain();
    expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.DONE, result: { text: "behind it\n" }, failedAttempts: 0 });
    const [compacted, ...more] = await stack.eventsOf(leaf, "compacted");
    expect(more).toEqual([]);
    expect(compacted).toMatchObject({ reason: "threshold", entryId: expect.any(String) });
    expect(compacted?.tokensBefore).toBeGreaterThan(990_000n);
    expect((await stack.get(leaf)).usage?.modelCalls).toBe(steps.length + 1);
  });

  test("is summed up once where its brain is killed in the middle of that, which is charged", async () => {
    const stack = await openStack();
    const undisturbed = await stack.submit(scriptedWith({}, ...steps));
    const first = stack.brain({ BRAIN_GRACE_MS: "60000" });
    await stack.ended(undisturbed);
    const leaf = await stack.submit(scriptedWith({ summary: { hold: 1 } }, ...steps));
    await held("summary");
    await stack.crash(first);
    stack.brain();
    expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.DONE, result: { text: "behind it\n" }, claims: 2, failedAttempts: 0 });
    expect((await stack.eventsOf(leaf, "compacted")).length).toBe(1);
    const answers = await stack.eventsOf(leaf, "answer");
    expect(new Set(answers.map(({ entryId }) => entryId)).size).toBe(steps.length);
    expect(answers.length).toBe(steps.length);
    const [without, withKill] = [(await stack.get(undisturbed)).usage, (await stack.get(leaf)).usage];
    expect(withKill?.modelCalls).toBe(steps.length + 1);
    // The summary's request, again: tool results count with their first 2000 characters.
    const charged = Number(withKill?.inputTokens ?? 0n) - Number(without?.inputTokens ?? 0n);
    expect(charged).toBeGreaterThan(1500);
    expect(charged).toBeLessThan(4000);
  });

  test("is summed up once where its brain is killed right behind that", async () => {
    const stack = await openStack();
    const holding = steps.map((step, index) => (index === 4 ? { ...step, hold: 1 } : step));
    const leaf = await stack.submit(scriptedWith({}, ...holding));
    const first = stack.brain();
    await held("script 4");
    await stack.crash(first);
    stack.brain();
    expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.DONE, result: { text: "behind it\n" }, claims: 2 });
    expect((await stack.eventsOf(leaf, "compacted")).length).toBe(1);
  });
});
