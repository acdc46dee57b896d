import { execFileSync } from "node:child_process";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { bash, calls, HeldCommand, say, scripted, scriptedFor } from "@serverless-harness/pi-fork/testing";
import {
  DecisionKind,
  FailureReason,
  GatePolicySchema,
  type Leaf,
  LeafKind,
  LeafState,
  RepositorySchema,
} from "@serverless-harness/proto/leaf";
import { describe, expect, test } from "vitest";
import { repository } from "./fixtures/repository.ts";
import { machines, Stack } from "./fixtures/stack.ts";

const shared = machines({ HANDS_LOCAL_REPOSITORIES: tmpdir() });

const GATED = create(GatePolicySchema, { tools: [{ tool: "bash", arguments: "gated" }] });
const APPROVE = { kind: DecisionKind.APPROVE, feedback: "", decidedBy: "anna" };
const write = (path: string, content: string) => calls({ name: "write", input: { path, content } });

/** What the model says of the note that it was given, or that it was given none. */
const recallNote = (text = "{{recall}}") => say(text, { recall: "(Note of the harness[^\\n]*)" });

async function approve(stack: Stack, leaf: Leaf): Promise<void> {
  const [gate] = (await stack.get(leaf)).openGates;
  await stack.store.decide(leaf.leafId, gate?.gateId ?? "", APPROVE);
}

/** Run a leaf until it waits for a human and its brain is gone. */
async function untilAsked(stack: Stack, leaf: Leaf): Promise<void> {
  const brain = stack.brain({ BRAIN_GRACE_MS: "20000" });
  await stack.when(
    leaf,
    ({ seq, event }) => seq > leaf.lastSeq && event.case === "stateChanged" && event.value.state === LeafState.AWAITING_APPROVAL,
  );
  await brain.kill("SIGTERM");
}

async function restored(stack: Stack, leaf: Leaf) {
  return (await stack.eventsOf(leaf, "workspaceRestored")).map(({ snapshotId, behind }) => ({ snapshotId, behind }));
}

/** The artifact store's files of a leaf's session. */
function artifactsOf(leaf: Leaf): string {
  return join(shared.hands.artifacts, `test/${leaf.spec?.sessionId}`);
}

function fileOf(leaf: Leaf, file: string): Promise<string> {
  return readFile(shared.hands.path(`test/${leaf.spec?.sessionId}`, file), "utf8");
}

describe("a leaf whose sandbox is lost while it waits for a human", () => {
  test("goes on in another one with its files, and brings the whole patch", async () => {
    const stack = await Stack.open(shared);
    const steps = [write("a.txt", "two\n"), bash("echo gated >>b.txt; cat a.txt"), say("{{last_tool_result}}")];
    const spec = { gates: GATED, kind: LeafKind.SOLVE, repository: create(RepositorySchema, { url: await repository() }) };
    const leaf = await stack.submit(scripted(...steps), spec);
    await untilAsked(stack, leaf);
    await shared.hands.replace();
    await approve(stack, leaf);
    stack.brain();
    const done = await stack.ended(leaf);
    expect(done).toMatchObject({ state: LeafState.DONE, failedAttempts: 0, result: { text: "two\n" } });
    for (const line of ["-one", "+two", "+gated"]) expect(done.result?.patch).toContain(`\n${line}\n`);
    expect(await restored(stack, leaf)).toEqual([{ snapshotId: `${leaf.leafId}.1`, behind: false }]);
  });

  test("has its patch against the commit that it began at, though the branch has moved on", async () => {
    const stack = await Stack.open(shared);
    const url = await repository();
    const spec = { gates: GATED, kind: LeafKind.SOLVE, repository: create(RepositorySchema, { url }) };
    const leaf = await stack.submit(scripted(bash("echo mine >b.txt"), bash("echo gated"), say("done")), spec);
    await untilAsked(stack, leaf);
    await writeFile(join(url, "a.txt"), "of others\n");
    execFileSync("git", ["-C", url, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qam", "two"]);
    await shared.hands.replace();
    await approve(stack, leaf);
    stack.brain();
    const { result } = await stack.ended(leaf);
    expect(result?.baseCommit).toBe(execFileSync("git", ["-C", url, "rev-parse", "HEAD~1"], { encoding: "utf8" }).trim());
    expect(result?.patch).toContain("+mine");
    expect(result?.patch).not.toContain("of others");
  });

  test("fails with SANDBOX_LOST where no snapshot of what it had done is left, and is done when it is redriven from the start", async () => {
    const stack = await Stack.open(shared);
    const leaf = await stack.submit(scripted(write("a.txt", "a"), bash("ls # gated"), say("{{last_tool_result}}")), { gates: GATED });
    await untilAsked(stack, leaf);
    await rm(artifactsOf(leaf), { recursive: true });
    await shared.hands.replace();
    await approve(stack, leaf);
    stack.brain();
    const failed = await stack.ended(leaf);
    expect(failed).toMatchObject({
      state: LeafState.FAILED,
      failedAttempts: 0,
      failure: { reason: FailureReason.SANDBOX_LOST, retryable: false },
    });
    expect(failed.failure?.message).toContain("from the start");
    expect(await restored(stack, leaf)).toEqual([{ snapshotId: "", behind: true }]);
    await untilAsked(stack, await stack.store.redrive(leaf.leafId, true));
    await approve(stack, leaf);
    stack.brain();
    expect(
      (
        await stack.when(
          leaf,
          ({ seq, event }) => seq > failed.lastSeq && event.case === "stateChanged" && event.value.state === LeafState.DONE,
        )
      ).result?.text,
    ).toBe("a.txt\n");
  });

  test("takes the snapshot before the newest where that is damaged, and its model is told once what it lacks", async () => {
    const stack = await Stack.open(shared);
    const steps = [
      write("a.txt", "a"),
      bash("echo gated"),
      write("b.txt", "b"),
      bash("echo gated"),
      bash("ls"),
      recallNote("{{last_tool_result}}{{recall}}"),
    ];
    const leaf = await stack.submit(scriptedFor(2, ...steps), { gates: GATED });
    await untilAsked(stack, leaf);
    await approve(stack, leaf);
    await untilAsked(stack, await stack.get(leaf));
    await writeFile(join(artifactsOf(leaf), `${leaf.leafId}.2.bundle`), "damaged");
    await shared.hands.replace();
    await approve(stack, leaf);
    stack.brain();
    const done = await stack.ended(leaf);
    expect(done.result?.text).toMatch(/^a\.txt\nNote of the harness.* snapshot \S+\.1 of 2/);
    expect(await restored(stack, leaf)).toEqual([{ snapshotId: `${leaf.leafId}.1`, behind: true }]);
  });
});

describe("a session whose sandbox is lost between two turns", () => {
  test("goes on with the files of the last turn", async () => {
    const stack = await Stack.open(shared);
    stack.brain({ BRAIN_GRACE_MS: "60000" });
    const first = await stack.submit(scripted(write("a.txt", "of the first turn"), say("done")));
    await stack.ended(first);
    await shared.hands.replace();
    const second = await stack.submit(scripted(bash("cat a.txt"), say("{{last_tool_result}}")), { sessionId: first.spec?.sessionId ?? "" });
    expect((await stack.ended(second)).result?.text).toBe("of the first turn");
    expect(await restored(stack, second)).toEqual([{ snapshotId: `${first.leafId}.1`, behind: false }]);
  });

  test("has its model told, once, where no snapshot is left", async () => {
    const stack = await Stack.open(shared);
    stack.brain({ BRAIN_GRACE_MS: "60000", BRAIN_SNAPSHOTS: "off" });
    const first = await stack.submit(scripted(write("a.txt", "a"), say("done")));
    const sessionId = first.spec?.sessionId ?? "";
    await stack.ended(first);
    await shared.hands.replace();
    const second = await stack.submit(scripted(recallNote()), { sessionId });
    expect((await stack.ended(second)).result?.text).toContain("No snapshot of your files could be restored");
    expect(await restored(stack, second)).toEqual([{ snapshotId: "", behind: true }]);
    const third = await stack.submit(scripted(bash("ls"), say("went on")), { sessionId });
    expect((await stack.ended(third)).result?.text).toBe("went on");
    expect(await restored(stack, third)).toEqual([]);
  });

  test("needs nothing where no turn had changed the workspace", async () => {
    const stack = await Stack.open(shared);
    stack.brain({ BRAIN_GRACE_MS: "60000" });
    const first = await stack.submit(scripted(say("hello")));
    await stack.ended(first);
    await shared.hands.replace();
    const second = await stack.submit(scripted(say("again")), { sessionId: first.spec?.sessionId ?? "" });
    expect((await stack.ended(second)).state).toBe(LeafState.DONE);
    expect(await restored(stack, second)).toEqual([]);
  });
});

describe("a workspace whose directory a command removed", () => {
  test("is there again for the next turn, as the last snapshot has it", async () => {
    const stack = await Stack.open(shared);
    stack.brain({ BRAIN_GRACE_MS: "60000" });
    const first = await stack.submit(scripted(write("a.txt", "a"), say("done")));
    const sessionId = first.spec?.sessionId ?? "";
    await stack.ended(first);
    const second = await stack.submit(scripted(bash('rm -rf "$PWD"'), say("done")), { sessionId });
    await stack.ended(second);
    const third = await stack.submit(scripted(bash("cat a.txt"), say("{{last_tool_result}}")), { sessionId });
    expect((await stack.ended(third)).result?.text).toBe("a");
    expect(await restored(stack, third)).toEqual([{ snapshotId: `${first.leafId}.1`, behind: true }]);
  });
});

describe("a model that is being asked when brain and sandbox are lost", () => {
  test("is told with the same request, made again", async () => {
    const stack = await Stack.open(shared);
    const sessionId = "lost-while-asking";
    const step = recallNote();
    const leaf = await stack.submit(scriptedFor(2, write("a.txt", "a"), bash("echo gated"), { ...step, delay_ms: 1500 }), {
      sessionId,
      gates: GATED,
    });
    await untilAsked(stack, leaf);
    await approve(stack, leaf);
    const brain = stack.brain();
    let calls = 0;
    await stack.when(leaf, ({ seq, event }) => seq > leaf.lastSeq && event.case === "modelCallStarted" && ++calls === 3);
    await stack.crash(brain);
    await shared.hands.replace();
    stack.brain({ BRAIN_GRACE_MS: "20000" });
    const done = await stack.ended(leaf);
    expect(done.result?.text).toMatch(/^Note of the harness.* snapshot /);
    expect(done.usage?.modelCalls).toBe(3);
  });
});

describe("a command whose sandbox is lost under it", () => {
  test("is not run again: its model is told that nobody knows how it ended, and where the files stand", async () => {
    const stack = await Stack.open(shared);
    const gate = await HeldCommand.make();
    const sessionId = "lost-command";
    const first = await stack.submit(scripted(write("a.txt", "a"), say("done")), { sessionId });
    const second = await stack.submit(scriptedFor(2, bash(gate.command), recallNote("{{last_tool_result}} {{recall}}")), { sessionId });
    const brain = stack.brain();
    await gate.begun();
    await stack.crash(brain);
    await shared.hands.replace();
    stack.brain({ BRAIN_GRACE_MS: "20000" });
    const done = await stack.ended(second);
    expect(done.state).toBe(LeafState.DONE);
    expect(done.result?.text).toMatch(/The sandbox was lost while this call ran.* snapshot /);
    expect(await restored(stack, second)).toEqual([{ snapshotId: `${first.leafId}.1`, behind: true }]);
    expect(await gate.log()).toEqual(["begun"]);
    expect(await fileOf(second, "a.txt")).toBe("a");
  });

  test("is not run again by a brain that finds the new sandbox under another one that died there", async () => {
    const stack = await Stack.open(shared);
    const gate = await HeldCommand.make();
    const sessionId = "lost-twice";
    await stack.submit(scripted(write("a.txt", "a"), say("done")), { sessionId });
    const held = "echo held >>held.txt";
    const both = calls({ name: "bash", input: { command: gate.command } }, { name: "bash", input: { command: `${held} # gated` } });
    const leaf = await stack.submit(scriptedFor(2, both, bash("cat held.txt"), say("{{last_tool_result}}")), { sessionId, gates: GATED });
    const first = stack.brain();
    await gate.begun();
    await stack.when(leaf, ({ event }) => event.case === "gateOpened");
    await stack.crash(first);
    await shared.hands.replace();
    // It restores, tells the first call's end, and waits at the gate of the second.
    await untilAsked(stack, leaf);
    await approve(stack, leaf);
    stack.brain();
    const done = await stack.ended(leaf);
    expect(done.result?.text).toBe("held\n");
    expect(await gate.log()).toEqual(["begun"]);
    expect(await restored(stack, leaf)).toMatchObject([{ behind: true }]);
  });
});

describe("a sandbox that is lost while a brain works in it", () => {
  test("has the leaf wait and go on in the new one, told what is missing", async () => {
    const stack = await Stack.open(shared);
    const gate = await HeldCommand.make();
    const sessionId = "lost-under-a-brain";
    await stack.submit(scripted(write("a.txt", "a"), say("done")), { sessionId });
    const leaf = await stack.submit(scriptedFor(2, bash(gate.command), recallNote("{{recall}}")), { sessionId });
    stack.brain({ BRAIN_HANDS_PATIENCE_MS: "5000", BRAIN_GRACE_MS: "20000" });
    await gate.begun();
    await shared.hands.replace();
    const done = await stack.ended(leaf);
    expect(done.result?.text).toContain("the sandbox with your workspace was lost");
    expect(await gate.log()).toEqual(["begun"]);
  });
});

describe("a brain that is killed while it restores", () => {
  test("leaves it to the next one, which restores all", async () => {
    const stack = await Stack.open(shared);
    const first = await stack.submit(scripted(bash("for i in $(seq 3000); do echo $i >f$i; done"), say("done")));
    const sessionId = first.spec?.sessionId ?? "";
    await stack.brain().exited;
    await stack.ended(first);
    await shared.hands.replace();
    const second = await stack.submit(scripted(bash("ls | wc -l"), say("{{last_tool_result}}")), { sessionId });
    const killed = stack.brain();
    const directory = shared.hands.path(`test/${sessionId}`, "");
    let seen = 0;
    while (seen === 0) seen = (await readdir(directory).catch(() => [])).length;
    await stack.crash(killed);
    expect(await restored(stack, second)).toEqual([]);
    stack.brain({ BRAIN_GRACE_MS: "20000" });
    expect((await stack.ended(second)).result?.text.trim()).toBe("3000");
    expect(await restored(stack, second)).toEqual([{ snapshotId: `${first.leafId}.1`, behind: false }]);
  });
});
