import { readFile, writeFile } from "node:fs/promises";
import { bash, say, scripted, scriptedFor } from "@serverless-harness/pi-fork/testing";
import { LeafState } from "@serverless-harness/proto/leaf";
import { expect, test } from "vitest";
import { Pool, type Pooled } from "./fixtures/pool.ts";
import { machines, type Stack } from "./fixtures/stack.ts";
import { countInLog, strikes } from "./fixtures/strikes.ts";

const shared = machines();

/** Steps of a brain from its claim to its first command in the sandbox to which its session moves, and some more. */
const STEPS = 16;
/** Steps from a claim to the end of the first command. */
const STEPS_IN_PLACE = 12;
/** Short leases: whoever is killed is noticed soon. */
const IN_POOL = { HANDS_URL: "pool", BRAIN_LEASE_MS: "600" };

interface Two {
  readonly a: Pooled;
  readonly b: Pooled;
}

/** Two sandboxes for all strikes. */
function twoOf(): (stack: Stack) => Promise<Two> {
  let two: Promise<Two> | undefined;
  const open = async (stack: Stack): Promise<Two> => {
    const pool = await Pool.open(stack.store);
    return { a: await pool.add("a"), b: await pool.add("b") };
  };
  return (stack) => {
    two ??= open(stack);
    return two;
  };
}

test("a brain may be killed at each step while its session moves: what was in the sandbox that drains is in the other one", {
  timeout: 600_000,
}, async () => {
  const two = twoOf();
  const work: Parameters<typeof strikes>[2] = async (stack, { strike, undisturbed, run }) => {
    const { a } = await two(stack);
    await stack.store.sandboxes.drain("b", true);
    const first = await stack.submit(scripted(bash("echo a >a.txt"), say("done")));
    const sessionId = first.spec?.sessionId ?? "";
    await undisturbed();
    await writeFile(a.hands.path(`test/${sessionId}`, "b.txt"), "since the last snapshot\n");
    await stack.store.sandboxes.drain("b", false);
    await stack.store.sandboxes.drain("a", true);
    const recall = { recall: "(Note of the harness[^\\n]*)" };
    const steps = [bash("cat a.txt b.txt; echo moved >>a.txt"), say("{{last_tool_result}}{{recall}}", recall)];
    const leaf = await stack.submit(scriptedFor(2, ...steps), { sessionId });
    await run();
    await stack.store.sandboxes.drain("a", false);
    const { state, failedAttempts, result } = await stack.get(leaf);
    const text = "a\nsince the last snapshot\n(nothing found)";
    expect({ strike, state, failedAttempts, text: result?.text }).toEqual({ strike, state: LeafState.DONE, failedAttempts: 0, text });
    const { b } = await two(stack);
    expect(await readFile(b.hands.path(`test/${sessionId}`, "a.txt"), "utf8")).toBe("a\nmoved\n");
    expect((await stack.eventsOf(leaf, "placed")).at(-1)).toMatchObject({ sandbox: "b" });
  };
  expect(await strikes(shared, STEPS, work, IN_POOL)).toBeGreaterThan(STEPS - 3);
});

test("a sandbox may be killed at each step of its brain: the session goes on in the other one, and what had begun is not done twice", {
  timeout: 600_000,
}, async () => {
  const two = twoOf();
  let kills = 0;
  const work: Parameters<typeof strikes>[2] = async (stack, { strike, undisturbed, run }) => {
    const { a, b } = await two(stack);
    await stack.store.sandboxes.drain("b", true);
    const first = await stack.submit(scripted(bash("echo first >log"), say("done")));
    const sessionId = first.spec?.sessionId ?? "";
    await undisturbed();
    await stack.store.sandboxes.drain("b", false);
    const steps = [bash("echo second >>log; cat log"), say("{{last_tool_result}}")];
    const leaf = await stack.submit(scriptedFor(2, ...steps), { sessionId });
    const noticed = a.hands.gone().then(() => a.kill());
    const running = run({ KILL_PID: String(a.hands.pid), BRAIN_GRACE_MS: "500" });
    const { state, result } = await stack.ended(leaf);
    await running;
    const failures = (await stack.eventsOf(leaf, "stateChanged")).flatMap(({ failure }) => failure?.message ?? []);
    expect({ strike, state, failures }).toEqual({ strike, state: LeafState.DONE, failures: [] });
    const isUnknown = /^The sandbox (?:was lost|died) while this/.test(result?.text ?? "");
    if (!isUnknown) expect(result?.text).toBe("first\nsecond\n");
    const { sandbox } = (await stack.eventsOf(leaf, "placed")).at(-1) ?? {};
    const log = await readFile((sandbox === "b" ? b : a).hands.path(`test/${sessionId}`, "log"), "utf8");
    expect(["first\n", "first\nsecond\n"]).toContain(log);
    if (!isUnknown) expect(log).toBe("first\nsecond\n");
    expect(await countInLog(stack, leaf, '"text":"Note of the harness')).toBeLessThan(2);
    if (sandbox !== "b") return;
    kills++;
    await noticed;
    await a.revive();
  };
  await strikes(shared, STEPS_IN_PLACE, work, IN_POOL);
  expect(kills).toBeGreaterThan(STEPS_IN_PLACE / 2);
});
