import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { HandsClient } from "@serverless-harness/hands/client";
import { bash, calls, HeldCommand, say, scripted, scriptedFor } from "@serverless-harness/pi-fork/testing";
import { DecisionKind, GatePolicySchema, type Leaf, LeafState, RepositorySchema, SandboxWishSchema } from "@serverless-harness/proto/leaf";
import { describe, expect, onTestFinished, test } from "vitest";
import { Pool, type Pooled } from "./fixtures/pool.ts";
import { repository } from "./fixtures/repository.ts";
import { machines, Stack } from "./fixtures/stack.ts";
import { wakeDoor } from "./fixtures/wake-door.ts";

const shared = machines();

const SHORT = { BRAIN_LEASE_MS: "1500", BRAIN_GRACE_MS: "20000" };
const write = (path: string, content: string) => calls({ name: "write", input: { path, content } });
const recallNote = (text = "{{recall}}") => say(text, { recall: "(Note of the harness[^\\n]*)" });
const GATED = create(GatePolicySchema, { tools: [{ tool: "bash", arguments: "gated" }] });
const APPROVE = { kind: DecisionKind.APPROVE, feedback: "", decidedBy: "anna" };

interface Two {
  readonly stack: Stack;
  readonly pool: Pool;
  readonly sandboxes: Readonly<Record<"a" | "b", Pooled>>;
}

/** A stack whose pool has two sandboxes. */
async function two(): Promise<Two> {
  const stack = await Stack.open(shared);
  const pool = await Pool.open(stack.store);
  const settings = { HANDS_LOCAL_REPOSITORIES: tmpdir() };
  return { stack, pool, sandboxes: { a: await pool.add("a", {}, settings), b: await pool.add("b", {}, settings) } };
}

const inPool = (environment: Readonly<Record<string, string>> = {}) => ({ HANDS_URL: "pool", ...environment });

/** Run a session's next leaf to its end with a brain of its own. */
async function ran(stack: Stack, prompt: string, sessionId = ""): Promise<Leaf> {
  const leaf = await stack.submit(prompt, sessionId === "" ? {} : { sessionId });
  const brain = stack.brain(inPool());
  const ended = await stack.ended(leaf);
  await brain.exited;
  return ended;
}

async function placements(stack: Stack, leaf: Leaf) {
  return (await stack.eventsOf(leaf, "placed")).map(({ sandbox, movedFrom, movedFromIsThere }) => [sandbox, movedFrom, movedFromIsThere]);
}

async function restored(stack: Stack, leaf: Leaf) {
  return (await stack.eventsOf(leaf, "workspaceRestored")).map(({ snapshotId, behind }) => ({ snapshotId, behind }));
}

function sessionOf(leaf: Leaf): string {
  return leaf.spec?.sessionId ?? "";
}

/** The file of a leaf's session in a sandbox. */
function fileIn(sandbox: Pooled, leaf: Leaf, file: string): string {
  return sandbox.hands.path(`test/${sessionOf(leaf)}`, file);
}

describe("a session of a pool", () => {
  test("stays in its sandbox, and another one goes to the less loaded", async () => {
    const { stack } = await two();
    const first = await ran(stack, scripted(write("a.txt", "a"), say("done")));
    const second = await ran(stack, scripted(bash("cat a.txt"), say("{{last_tool_result}}")), sessionOf(first));
    const other = await ran(stack, scripted(say("done")));
    expect(second.result?.text).toBe("a");
    expect([await placements(stack, first), await placements(stack, second), await placements(stack, other)]).toEqual([
      [["a", "", false]],
      [["a", "", false]],
      [["b", "", false]],
    ]);
    const { sandboxes } = await stack.store.sandboxes.list();
    expect(sandboxes.map(({ name, working, placed }) => [name, working, placed])).toEqual([
      ["a", 0, 1],
      ["b", 0, 1],
    ]);
  });

  test("goes on in another one with its files once its own is gone, and its model is told nothing, since nothing is lost", async () => {
    const { stack, sandboxes } = await two();
    const first = await ran(stack, scripted(write("a.txt", "a"), say("done")));
    await sandboxes.a.kill();
    const second = await ran(stack, scripted(bash("cat a.txt"), recallNote("{{last_tool_result}}: {{recall}}")), sessionOf(first));
    expect(second.result?.text).toBe("a: (nothing found)");
    expect(await placements(stack, second)).toEqual([["b", "a", false]]);
    expect(await restored(stack, second)).toEqual([{ snapshotId: `${first.leafId}.1`, behind: false }]);
  });

  test("leaves a sandbox that drains with what was changed since its last snapshot, and nothing of it stays there", async () => {
    const { stack, sandboxes } = await two();
    const first = await ran(stack, scripted(write("a.txt", "a"), say("done")));
    await writeFile(fileIn(sandboxes.a, first, "a.txt"), "changed by a background process");
    await stack.store.sandboxes.drain("a", true);
    const second = await ran(stack, scripted(bash("cat a.txt"), recallNote("{{last_tool_result}}: {{recall}}")), sessionOf(first));
    expect(second.result?.text).toBe("changed by a background process: (nothing found)");
    expect(await placements(stack, second)).toEqual([["b", "a", true]]);
    expect(await restored(stack, second)).toEqual([{ snapshotId: `${second.leafId}.2`, behind: false }]);
    expect(existsSync(fileIn(sandboxes.a, first, "."))).toBe(false);
  });

  test("that comes back to a sandbox with old files of it has those of its last snapshot", async () => {
    const { stack, sandboxes } = await two();
    const first = await ran(stack, scripted(write("a.txt", "old"), bash("echo left >only-in-a.txt"), say("done")));
    await sandboxes.a.kill();
    const second = await ran(stack, scripted(bash("echo new >a.txt; rm only-in-a.txt"), say("done")), sessionOf(first));
    expect(second.state).toBe(LeafState.DONE);
    await sandboxes.b.kill();
    await sandboxes.a.revive();
    const third = await ran(stack, scripted(bash("cat *.txt"), say("{{last_tool_result}}")), sessionOf(first));
    expect(third.result?.text.trim()).toBe("new");
    expect(await placements(stack, third)).toEqual([["a", "b", false]]);
  });

  test("that was taken out of its sandbox while it slept goes on from the snapshot of that time", async () => {
    const { stack, sandboxes } = await two();
    const first = await ran(stack, scripted(write("a.txt", "a"), say("done")));
    await writeFile(fileIn(sandboxes.a, first, "a.txt"), "later");
    const [session] = await stack.store.sandboxes.idleIn("a", 10);
    if (session === undefined) throw new Error("the session sleeps in a");
    const client = new HandsClient({ address: sandboxes.a.hands.address });
    onTestFinished(() => client.close());
    const workspace = client.workspace(`test/${session.sessionId}`, session.epoch);
    await workspace.snapshot("taken.1");
    expect(await stack.store.sandboxes.vacate(session, "a", "taken.1")).toBe(true);
    await workspace.delete();
    const second = await ran(stack, scripted(bash("cat a.txt"), say("{{last_tool_result}}")), sessionOf(first));
    expect(second.result?.text).toBe("later");
    expect(await placements(stack, second)).toEqual([["a", "", false]]);
    expect(await restored(stack, second)).toEqual([{ snapshotId: "taken.1", behind: false }]);
    // From then on it is a snapshot like others.
    await Promise.all([sandboxes.a.kill(), sandboxes.b.replace()]);
    const third = await ran(stack, scripted(bash("cat a.txt"), say("{{last_tool_result}}")), sessionOf(first));
    expect(third.result?.text).toBe("later");
  });

  test("that only read its files so far has them after a move, though its next leaf does not say from where they came", async () => {
    const { stack, sandboxes } = await two();
    const url = await repository();
    const first = await stack.submit(scripted(calls({ name: "read", input: { path: "a.txt" } }), say("done")), {
      repository: create(RepositorySchema, { url }),
    });
    const brain = stack.brain(inPool());
    await stack.ended(first);
    await brain.exited;
    const from = (await placements(stack, first))[0]?.[0];
    await stack.store.sandboxes.drain(String(from), true);
    const second = await ran(stack, scripted(bash("cat a.txt"), say("{{last_tool_result}}")), sessionOf(first));
    expect(second.result?.text).toBe("one\n");
    expect(existsSync(fileIn(from === "a" ? sandboxes.a : sandboxes.b, first, "."))).toBe(false);
  });

  test("whose id was used before has nothing of what an old sandbox kept under it", async () => {
    const { stack, sandboxes } = await two();
    const leaf = await stack.submit(scripted(bash("ls -A"), say("[{{last_tool_result}}]")), { sessionId: "again" });
    for (const { hands } of Object.values(sandboxes)) {
      const client = new HandsClient({ address: hands.address });
      onTestFinished(() => client.close());
      await client.workspace(`test/${sessionOf(leaf)}`, 1n).create();
      await writeFile(join(hands.workspaces, `test/${sessionOf(leaf)}`, "old.txt"), "of another session");
    }
    stack.brain(inPool());
    expect((await stack.ended(leaf)).result?.text).not.toContain("old.txt");
  });
});

describe("a leaf of a pool", () => {
  test("whose sandbox dies under its command goes on in another one, by no failed attempt, and its model is told what is gone", async () => {
    const { stack, sandboxes } = await two();
    const first = await ran(stack, scripted(write("a.txt", "a"), say("done")));
    const held = await HeldCommand.make();
    const steps = [bash(`echo b >b.txt; ${held.command}`), bash("ls"), recallNote("{{last_tool_result}} {{recall}}")];
    const leaf = await stack.submit(scriptedFor(2, ...steps), { sessionId: sessionOf(first) });
    stack.brain(inPool(SHORT));
    await held.begun();
    await sandboxes.a.kill();
    const done = await stack.ended(leaf);
    expect(done).toMatchObject({ state: LeafState.DONE, failedAttempts: 0 });
    expect(done.result?.text).toMatch(/^a\.txt\s+Note of the harness/);
    expect(await placements(stack, leaf)).toEqual([
      ["a", "", false],
      ["b", "a", false],
    ]);
    expect((await held.log()).filter((line) => line === "begun")).toHaveLength(1);
  });

  test("that waits for a human while its sandbox dies goes on in another one after the answer", async () => {
    const { stack, sandboxes } = await two();
    const leaf = await stack.submit(scripted(write("a.txt", "a"), bash("cat a.txt # gated"), say("{{last_tool_result}}")), {
      gates: GATED,
    });
    const brain = stack.brain(inPool());
    await stack.inState(leaf, LeafState.AWAITING_APPROVAL);
    await brain.exited;
    await sandboxes.a.kill();
    const [gate] = (await stack.get(leaf)).openGates;
    await stack.store.decide(leaf.leafId, gate?.gateId ?? "", APPROVE);
    stack.brain(inPool());
    expect((await stack.ended(leaf)).result?.text).toBe("a");
  });

  test("waits for room in a full pool, by no failed attempt, and is worked on when there is some", async () => {
    const stack = await Stack.open(shared);
    const pool = await Pool.open(stack.store);
    await pool.add("a", { capacity: 1 });
    const held = await HeldCommand.make();
    const first = await stack.submit(scripted(bash(held.command), say("done")));
    stack.brain(inPool({ BRAIN_GRACE_MS: "20000" }));
    await held.begun();
    const second = await stack.submit(scripted(bash("echo here"), say("{{last_tool_result}}")));
    await stack.inState(second, LeafState.SUSPENDED);
    const notes = (await stack.eventsOf(second, "stateChanged")).map(({ note }) => note).filter((note) => note.includes("room"));
    expect(notes[0]).toMatch(/^waits for room in a sandbox: /);
    await held.open();
    expect((await stack.ended(first)).state).toBe(LeafState.DONE);
    expect(await stack.ended(second)).toMatchObject({ state: LeafState.DONE, failedAttempts: 0, result: { text: "here\n" } });
  });

  test("waits for a sandbox with the labels that it wants, and can be cancelled meanwhile", async () => {
    const { stack, pool } = await two();
    const sandbox = create(SandboxWishSchema, { labels: { gpu: "a100" } });
    const [waits, cancelled] = [
      await stack.submit(scripted(bash("echo $GPU"), say("done")), { sandbox }),
      await stack.submit(scripted(say("done")), { sandbox }),
    ];
    stack.brain(inPool({ BRAIN_GRACE_MS: "20000" }));
    await Promise.all([waits, cancelled].map((leaf) => stack.inState(leaf, LeafState.SUSPENDED)));
    await stack.store.cancel(cancelled.leafId, "anna");
    expect((await stack.ended(cancelled)).state).toBe(LeafState.CANCELLED);
    await pool.add("gpu", { labels: { gpu: "a100" } });
    expect(await stack.ended(waits)).toMatchObject({ state: LeafState.DONE, failedAttempts: 0 });
    expect(await placements(stack, waits)).toEqual([["gpu", "", false]]);
  });

  test("keeps the room of a command that runs without its brain, and finds it there", async () => {
    const { stack } = await two();
    const held = await HeldCommand.make();
    const leaf = await stack.submit(scripted(bash(held.command), say("{{last_tool_result}}")));
    const { url } = await wakeDoor(stack);
    const brain = stack.brain(inPool({ BRAIN_SLEEP_AFTER_MS: "100", BRAIN_WAKE_URL: url }));
    await held.begun();
    await stack.inState(leaf, LeafState.SUSPENDED);
    await brain.exited;
    await stack.store.sandboxes.drain("a", true);
    expect((await stack.store.sandboxes.list()).sandboxes.map(({ name, working }) => [name, working])).toEqual([
      ["a", 1],
      ["b", 0],
    ]);
    await held.open();
    await stack.when(leaf, ({ event }) => event.case === "stateChanged" && event.value.note === "woken");
    stack.brain(inPool());
    expect((await stack.ended(leaf)).result?.text).toBe("begun\ndone\n");
    expect(await held.log()).toEqual(["begun", "done"]);
  });

  test("that is near another session goes to its sandbox", async () => {
    const { stack, pool } = await two();
    await pool.add("c");
    const parent = await ran(stack, scripted(say("done")));
    await ran(stack, scripted(say("done")));
    const wish = create(SandboxWishSchema, { nearSessionId: sessionOf(parent) });
    const child = await stack.submit(scripted(say("done")), { sandbox: wish });
    stack.brain(inPool());
    await stack.ended(child);
    expect(await placements(stack, child)).toEqual([["a", "", false]]);
  });
});
