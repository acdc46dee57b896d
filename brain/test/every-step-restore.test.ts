import { dirname, join } from "node:path";
import { openPiSessions } from "@serverless-harness/pi-fork";
import { type Leaf, LeafState } from "@serverless-harness/proto/leaf";
import { expect, onTestFinished, test } from "vitest";
import { bash, say, scripted, scriptedFor } from "../../pi-fork/test/fixtures/model.ts";
import { bundledBrain } from "./fixtures/bundled.ts";
import { fromInside, type Strike } from "./fixtures/executioner.ts";
import { machines, Stack } from "./fixtures/stack.ts";

const shared = machines();
const bundled = bundledBrain();

/** Steps of a brain from its claim to the first request to the model, and some more. */
const STEPS = 14;

interface Struck {
  readonly strike: Strike;
  /** A brain that is killed there works on what is ready; then one that is not takes over. */
  run(): Promise<void>;
}

/** Open a stack, and strike at each of the first steps of a brain, before it and after it in turn. */
async function strikes(work: (stack: Stack, struck: Struck) => Promise<void>): Promise<number> {
  const stack = await Stack.open(shared, (cleanup) => onTestFinished(cleanup));
  const executioner = fromInside(join(dirname(stack.storeUrl.slice("sqlite:".length)), "steps"));
  const { main, environment } = bundled();
  let kills = 0;
  for (let step = 1; step <= STEPS; step++) {
    const strike: Strike = { step, when: step % 2 === 0 ? "before" : "after" };
    const run = async (): Promise<void> => {
      const victim = stack.brain({ BRAIN_LEASE_MS: "60000", ...environment, ...(await executioner.arm(strike)) }, main);
      if ((await victim.exited).signal === "SIGKILL") kills++;
      await stack.store.releaseWorker(victim.name, "killed");
      await stack.brain({ ...environment }, main).exited;
    };
    await work(stack, { strike, run });
  }
  return kills;
}

async function undisturbed(stack: Stack, more: Record<string, string> = {}): Promise<void> {
  await stack.brain({ ...bundled().environment, ...more }, bundled().main).exited;
}

/** How often a text stands in what a session's log holds. */
async function countInLog(stack: Stack, leaf: Leaf, text: string): Promise<number> {
  const sessions = openPiSessions(stack.storeUrl);
  let count = 0;
  for await (const line of sessions.exportSession({ tenant: "test", sessionId: leaf.spec?.sessionId ?? "" })) {
    count += line.split(text).length - 1;
  }
  await sessions.close();
  return count;
}

test("a brain may be killed at each step while it restores a workspace: all is restored, and the model is told once", {
  timeout: 400_000,
}, async () => {
  const kills = await strikes(async (stack, { strike, run }) => {
    const first = await stack.submit(scripted(bash("echo a >a.txt"), say("done")));
    const sessionId = first.spec?.sessionId ?? "";
    await undisturbed(stack);
    await stack.submit(scripted(bash("echo b >b.txt"), say("done")), { sessionId });
    await undisturbed(stack, { BRAIN_SNAPSHOTS: "off" });
    await shared.hands.replace();
    const recall = { recall: "(Note of the harness[^\\n]*)" };
    const leaf = await stack.submit(scriptedFor(2, bash("ls"), say("{{last_tool_result}}{{recall}}", recall)), { sessionId });
    await run();
    const { state, result } = await stack.get(leaf);
    expect({ strike, state }).toEqual({ strike, state: LeafState.DONE });
    expect(result?.text).toMatch(/^a\.txt\nNote of the harness/);
    expect({ strike, told: await countInLog(stack, leaf, '"text":"Note of the harness') }).toEqual({ strike, told: 1 });
    expect(await stack.eventsOf(leaf, "workspaceRestored")).toMatchObject([{ snapshotId: `${first.leafId}.1`, behind: true }]);
  });
  expect(kills).toBeGreaterThan(STEPS - 3);
});

test("a brain may be killed at each step while a leaf begins anew: it does so once, in the files from before it", {
  timeout: 400_000,
}, async () => {
  const kills = await strikes(async (stack, { strike, run }) => {
    const first = await stack.submit(scripted(bash("echo base >a.txt"), say("done")));
    const sessionId = first.spec?.sessionId ?? "";
    await undisturbed(stack);
    const steps = [bash("cat a.txt; echo changed >>a.txt"), say("{{last_tool_result}}", { fail: { status: 400, times: 1 } })];
    const leaf = await stack.submit(scripted(...steps), { sessionId });
    await undisturbed(stack);
    expect((await stack.get(leaf)).state).toBe(LeafState.FAILED);
    await stack.store.redrive(leaf.leafId, true);
    await run();
    const { state, result } = await stack.get(leaf);
    expect({ strike, state, text: result?.text }).toEqual({ strike, state: LeafState.DONE, text: "base\n" });
    // The turn before it and this one: nothing of the attempt that failed.
    expect((await shared.model.requests()).at(-1)?.messages).toBe(7);
  });
  expect(kills).toBeGreaterThan(STEPS - 3);
});
