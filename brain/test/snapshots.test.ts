import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { bash, calls, HeldCommand, say, scripted } from "@serverless-harness/pi-fork/testing";
import { DecisionKind, GatePolicySchema, type Leaf, LeafState } from "@serverless-harness/proto/leaf";
import { describe, expect, test } from "vitest";
import { machines, resident, Stack } from "./fixtures/stack.ts";

const shared = machines();
const house = resident(shared);

const write = (path: string, content: string) => calls({ name: "write", input: { path, content } });

async function taken(stack: Stack, leaf: Leaf): Promise<string[]> {
  return (await stack.eventsOf(leaf, "snapshotTaken")).map(({ snapshotId }) => snapshotId);
}

/** Ids of the snapshots that the artifact store has of the leaf's session. */
async function stored(leaf: Leaf): Promise<string[]> {
  const names = await readdir(join(shared.hands.artifacts, `test/${leaf.spec?.sessionId}`)).catch(() => []);
  return names.flatMap((name) => (name.endsWith(".json") ? [name.slice(0, -".json".length)] : []));
}

describe("a snapshot of the workspace", () => {
  test("is taken before a leaf that used it ends, and announced", async () => {
    const leaf = await house.stack.submit(scripted(write("a.txt", "a"), say("done")));
    expect((await house.stack.ended(leaf)).state).toBe(LeafState.DONE);
    expect(await taken(house.stack, leaf)).toEqual([`${leaf.leafId}.1`]);
    expect(await stored(leaf)).toEqual([`${leaf.leafId}.1`]);
  });

  test("is not taken where no tool was called that can change it: neither of a session's first turn, nor of a later one", async () => {
    const { stack } = house;
    const first = await stack.submit(scripted(say("hello")));
    await stack.ended(first);
    const second = await stack.submit(scripted(write("a.txt", "a"), say("done")), { sessionId: first.spec?.sessionId ?? "" });
    await stack.ended(second);
    const third = await stack.submit(scripted(calls({ name: "read", input: { path: "a.txt" } }), say("done")), {
      sessionId: first.spec?.sessionId ?? "",
    });
    await stack.ended(third);
    expect([await taken(stack, first), await taken(stack, second), await taken(stack, third)]).toEqual([[], [`${second.leafId}.1`], []]);
    expect(await stored(first)).toEqual([`${second.leafId}.1`]);
  });

  test("is not taken with BRAIN_SNAPSHOTS=off", async () => {
    const stack = await Stack.open(shared);
    stack.brain({ BRAIN_SNAPSHOTS: "off" });
    const leaf = await stack.submit(scripted(write("a.txt", "a"), say("done")));
    await stack.ended(leaf);
    expect([await taken(stack, leaf), await stored(leaf)]).toEqual([[], []]);
  });

  test("is taken when a leaf waits for a human, and once more only if something was done since", async () => {
    const stack = await Stack.open(shared);
    const gates = create(GatePolicySchema, { tools: [{ tool: "bash" }] });
    const both = calls({ name: "write", input: { path: "a.txt", content: "a" } }, { name: "bash", input: { command: "cat a.txt" } });
    const leaf = await stack.submit(scripted(both, say("{{last_tool_result}}")), { gates });
    const waits = () => stack.inState(leaf, LeafState.AWAITING_APPROVAL);
    const first = stack.brain();
    await waits();
    expect((await first.exited).code).toBe(0);
    expect(await taken(stack, leaf)).toEqual([`${leaf.leafId}.1`]);
    const [gate] = (await stack.get(leaf)).openGates;
    await stack.store.decide(leaf.leafId, gate?.gateId ?? "", { kind: DecisionKind.APPROVE, feedback: "", decidedBy: "anna" });
    stack.brain();
    expect((await stack.ended(leaf)).result?.text).toBe("a");
    expect(await taken(stack, leaf)).toEqual([`${leaf.leafId}.1`, `${leaf.leafId}.2`]);
  });

  test("is taken while a command goes on, of what is there, when its leaf sleeps", async () => {
    const stack = await Stack.open(shared);
    const held = await HeldCommand.make();
    const leaf = await stack.submit(scripted(bash(`echo before >b.txt; ${held.command}`), say("{{last_tool_result}}")));
    const brain = stack.brain({ BRAIN_WAKE_URL: "http://127.0.0.1:9/wake", BRAIN_SLEEP_AFTER_MS: "50" });
    await held.begun();
    await stack.inState(leaf, LeafState.SUSPENDED);
    await brain.exited;
    expect(await taken(stack, leaf)).toEqual([`${leaf.leafId}.1`]);
    await held.open();
  });

  test("that can't be taken costs the leaf nothing: it is done, and its log has a line about it", async () => {
    const stack = await Stack.open(shared);
    const brain = stack.brain();
    // Longer than rules may be.
    const leaf = await stack.submit(scripted(bash("head -c 300000 /dev/zero | tr '\\0' x >.gitignore"), say("done")));
    expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.DONE, failedAttempts: 0 });
    expect(await taken(stack, leaf)).toEqual([]);
    expect((await brain.logged("no snapshot was taken"))["snapshotId"]).toBe(`${leaf.leafId}.1`);
  });

  test("holds what was written, whole", async () => {
    const leaf = await house.stack.submit(scripted(write("a.txt", "content"), say("done")));
    await house.stack.ended(leaf);
    const manifest = await readFile(join(shared.hands.artifacts, `test/${leaf.spec?.sessionId}/${leaf.leafId}.1.json`), "utf8");
    // Below it is a signature.
    const [json = ""] = manifest.split("\n");
    expect(JSON.parse(json)).toMatchObject({ snapshotId: `${leaf.leafId}.1`, bundles: [{}] });
  });
});
