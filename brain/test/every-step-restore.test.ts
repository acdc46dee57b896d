import { bash, say, scripted, scriptedFor } from "@serverless-harness/pi-fork/testing";
import { LeafState } from "@serverless-harness/proto/leaf";
import { expect, test } from "vitest";
import { machines } from "./fixtures/stack.ts";
import { countInLog, strikes } from "./fixtures/strikes.ts";

const shared = machines();

/** Steps of a brain from its claim to the first request to the model, and some more. */
const STEPS = 14;

test("a brain may be killed at each step while it restores a workspace: all is restored, and the model is told once", {
  timeout: 400_000,
}, async () => {
  const kills = await strikes(shared, STEPS, async (stack, { strike, undisturbed, run }) => {
    const first = await stack.submit(scripted(bash("echo a >a.txt"), say("done")));
    const sessionId = first.spec?.sessionId ?? "";
    await undisturbed();
    await stack.submit(scripted(bash("echo b >b.txt"), say("done")), { sessionId });
    await stack.brain({ BRAIN_SNAPSHOTS: "off" }).exited;
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
  const kills = await strikes(shared, STEPS, async (stack, { strike, undisturbed, run }) => {
    const first = await stack.submit(scripted(bash("echo base >a.txt"), say("done")));
    const sessionId = first.spec?.sessionId ?? "";
    await undisturbed();
    const steps = [bash("cat a.txt; echo changed >>a.txt"), say("{{last_tool_result}}", { fail: { status: 400, times: 1 } })];
    const leaf = await stack.submit(scripted(...steps), { sessionId });
    await undisturbed();
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
