import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { bash, calls, say, scripted, scriptedFor } from "@serverless-harness/pi-fork/testing";
import { FailureReason, type Leaf, LeafKind, LeafState, LimitsSchema, RepositorySchema } from "@serverless-harness/proto/leaf";
import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { describe, expect, onTestFinished, test } from "vitest";
import { machines, Stack } from "./fixtures/stack.ts";

const shared = machines({ HANDS_LOCAL_REPOSITORIES: tmpdir() });
const redis = redisServer();

const STORES: ReadonlyArray<[string, () => Promise<Stack>]> = [
  ["SQLite", () => Stack.open(shared)],
  ["Redis", () => Stack.open(shared, onTestFinished, redis().freshUrl())],
];

/** An answer that the provider refuses once: the leaf fails at once, and the next request like it is answered. */
const refusedOnce = (text: string, more = {}) => say(text, { fail: { status: 400, times: 1 }, ...more });

async function repository(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "harness-origin-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const git = (...args: string[]) => execFileSync("git", ["-C", directory, "-c", "user.name=t", "-c", "user.email=t@t", ...args]);
  git("init", "-q", "-b", "main");
  await writeFile(join(directory, "a.txt"), "one\n");
  git("add", ".");
  git("commit", "-qm", "one");
  return directory;
}

async function failed(stack: Stack, leaf: Leaf, reason: FailureReason): Promise<void> {
  expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.FAILED, failure: { reason } });
}

/** Redrive a leaf, and wait until it is over again. */
async function redriven(stack: Stack, leaf: Leaf, fromStart: boolean): Promise<Leaf> {
  const { lastSeq } = await stack.get(leaf);
  await stack.store.redrive(leaf.leafId, fromStart);
  const ends = new Set<unknown>([LeafState.DONE, LeafState.FAILED]);
  return stack.when(leaf, ({ seq, event }) => seq > lastSeq && event.case === "stateChanged" && ends.has(event.value.state));
}

describe.each(STORES)("a leaf that is redriven (%s)", (_name, open) => {
  test("goes on behind a limit, which counts anew, and tells all that it used", async () => {
    const stack = await open();
    stack.brain({ BRAIN_GRACE_MS: "60000" });
    const steps = [bash("echo 0 >>n"), bash("echo 1 >>n"), bash("echo 2 >>n; cat n"), say("{{last_tool_result}}")];
    const leaf = await stack.submit(scriptedFor(2, ...steps), { limits: create(LimitsSchema, { maxModelCalls: 2 }) });
    await failed(stack, leaf, FailureReason.BUDGET_EXCEEDED);
    const done = await redriven(stack, leaf, false);
    expect(done).toMatchObject({ state: LeafState.DONE, result: { text: "0\n1\n2\n" }, usage: { modelCalls: 4 } });
    expect((await stack.eventsOf(leaf, "toolStarted")).length).toBe(3);
  });

  test("goes on with a model that is there again", async () => {
    const stack = await open();
    const broken = stack.brain({ ANTHROPIC_AUTH_TOKEN: "bad-key" });
    const leaf = await stack.submit(scriptedFor(2, bash("echo 0 >>n; cat n"), say("{{last_tool_result}}")));
    await failed(stack, leaf, FailureReason.MODEL_UNAVAILABLE);
    await broken.exited;
    stack.brain({ BRAIN_GRACE_MS: "60000" });
    expect(await redriven(stack, leaf, false)).toMatchObject({ state: LeafState.DONE, result: { text: "0\n" } });
  });

  test("goes on from a task without a result, and is done with the one that it hands in then", async () => {
    const stack = await open();
    stack.brain({ BRAIN_GRACE_MS: "60000" });
    const outputSchema = { type: "object", properties: { count: { type: "integer" } }, required: ["count"] };
    const submit = calls({ name: "submit_result", input: { count: 7 } });
    const leaf = await stack.submit(scriptedFor(3, say("no"), say("still no"), submit), { kind: LeafKind.TASK, outputSchema });
    await failed(stack, leaf, FailureReason.NO_RESULT);
    expect((await redriven(stack, leaf, false)).result?.value).toEqual({ count: 7 });
  });

  test("fails again where its deadline has passed, which counts from submission", async () => {
    const stack = await open();
    stack.brain({ BRAIN_GRACE_MS: "60000" });
    const leaf = await stack.submit(scripted(say("late", { delay_ms: 600_000 })), { limits: create(LimitsSchema, { deadlineMs: 300n }) });
    await failed(stack, leaf, FailureReason.DEADLINE_EXCEEDED);
    for (const fromStart of [false, true])
      expect((await redriven(stack, leaf, fromStart)).failure?.reason).toBe(FailureReason.DEADLINE_EXCEEDED);
  });

  test("goes on as often as it is redriven", async () => {
    const stack = await open();
    stack.brain({ BRAIN_GRACE_MS: "60000" });
    const leaf = await stack.submit(scriptedFor(3, bash("echo 0"), bash("echo 1"), say("done")), {
      limits: create(LimitsSchema, { maxModelCalls: 1 }),
    });
    await failed(stack, leaf, FailureReason.BUDGET_EXCEEDED);
    expect((await redriven(stack, leaf, false)).failure?.reason).toBe(FailureReason.BUDGET_EXCEEDED);
    expect(await redriven(stack, leaf, false)).toMatchObject({ state: LeafState.DONE, result: { text: "done" }, usage: { modelCalls: 3 } });
  });

  test("from the start begins with its prompt alone, in a workspace made anew, and its patch has nothing of before", async () => {
    const stack = await open();
    stack.brain({ BRAIN_GRACE_MS: "60000" });
    const spec = { kind: LeafKind.SOLVE, repository: create(RepositorySchema, { url: await repository() }) };
    const leaf = await stack.submit(scripted(bash("cat a.txt; echo more >>a.txt"), refusedOnce("{{last_tool_result}}")), spec);
    await failed(stack, leaf, FailureReason.MODEL_UNAVAILABLE);
    const done = await redriven(stack, leaf, true);
    expect(done).toMatchObject({ state: LeafState.DONE, result: { text: "one\n" }, usage: { modelCalls: 3 } });
    expect((await shared.model.requests()).slice(-2).map(({ messages }) => messages)).toEqual([1, 3]);
    expect(done.result?.patch.match(/^\+more$/gm)).toEqual(["+more"]);
    const starts = await stack.eventsOf(leaf, "toolStarted");
    expect(new Set(starts.map(({ invocationId }) => invocationId)).size).toBe(2);
    expect((await stack.eventsOf(leaf, "snapshotTaken")).map(({ snapshotId }) => snapshotId)).toEqual([
      `${leaf.leafId}.1`,
      `${leaf.leafId}.2`,
    ]);
  });

  test("from the start finds the files as the turn before it left them, and the conversation too", async () => {
    const stack = await open();
    stack.brain({ BRAIN_GRACE_MS: "60000" });
    const before = await stack.submit(scripted(bash("echo base >a.txt"), say("The word is kumquat.")));
    const sessionId = before.spec?.sessionId ?? "";
    await stack.ended(before);
    const steps = [
      bash("cat a.txt; echo changed >>a.txt"),
      refusedOnce("{{recall}} {{last_tool_result}}", { recall: "The word is (\\w+)" }),
    ];
    const leaf = await stack.submit(scripted(...steps), { sessionId });
    await failed(stack, leaf, FailureReason.MODEL_UNAVAILABLE);
    expect(await redriven(stack, leaf, true)).toMatchObject({ state: LeafState.DONE, result: { text: "kumquat base\n" } });
  });

  test("from the start tells its model where the files could not be taken back", async () => {
    const stack = await open();
    stack.brain({ BRAIN_GRACE_MS: "60000", BRAIN_SNAPSHOTS: "off" });
    const before = await stack.submit(scripted(bash("echo base >a.txt"), say("done")));
    const sessionId = before.spec?.sessionId ?? "";
    await stack.ended(before);
    const recall = "(Note of the harness[^.]*\\.)";
    const leaf = await stack.submit(scripted(bash("echo changed >>a.txt"), { ...refusedOnce("{{recall}}"), recall }), { sessionId });
    await failed(stack, leaf, FailureReason.MODEL_UNAVAILABLE);
    // The note makes the request another one, which the model refuses once as well.
    expect((await redriven(stack, leaf, true)).state).toBe(LeafState.FAILED);
    const done = await redriven(stack, leaf, true);
    expect(done.result?.text).toContain("what comes next was tried before");
  });

  test("from the start keeps what others did on its session since", async () => {
    const stack = await open();
    stack.brain({ BRAIN_GRACE_MS: "60000" });
    const leaf = await stack.submit(scripted(refusedOnce("never"), say("never")));
    const sessionId = leaf.spec?.sessionId ?? "";
    await failed(stack, leaf, FailureReason.MODEL_UNAVAILABLE);
    const other = await stack.submit(scripted(bash("echo of-another >b.txt"), say("The word is quince.")), { sessionId });
    await stack.ended(other);
    await redriven(stack, leaf, true);
    const last = await stack.submit(scripted(bash("cat b.txt"), say("{{recall}} {{last_tool_result}}", { recall: "The word is (\\w+)" })), {
      sessionId,
    });
    expect((await stack.ended(last)).result?.text).toBe("quince of-another\n");
  });
});

test("the operations of a leaf are one for each redrive, and those from the start go on from none before them", async () => {
  const { operationsOf } = await import("../leaf/operations.ts");
  const leafId = "leaf";
  expect(operationsOf({ leafId, redrives: 0, restarts: 0 })).toEqual({ id: "leaf", earlier: [], former: [] });
  expect(operationsOf({ leafId, redrives: 2, restarts: 0 })).toEqual({ id: "leaf.0.2", earlier: ["leaf.0.1", "leaf"], former: [] });
  expect(operationsOf({ leafId, redrives: 1, restarts: 1 })).toEqual({ id: "leaf.1.1", earlier: [], former: ["leaf"] });
  expect(operationsOf({ leafId, redrives: 2, restarts: 1 })).toEqual({
    id: "leaf.1.2",
    earlier: ["leaf.1.1"],
    former: ["leaf", "leaf.0.1"],
  });
});
