import { readFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { DatabaseSync } from "node:sqlite";
import { setImmediate } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { bash, HeldCommand, say, scripted } from "@serverless-harness/pi-fork/testing";
import { FailureReason, LeafState, RetryPolicySchema } from "@serverless-harness/proto/leaf";
import { describe, expect, test } from "vitest";
import { type BrainProcess, spawned } from "./fixtures/brain-process.ts";
import { answer, type Behaviour, begin, rogueModel, START, sse, stop, text, tool } from "./fixtures/rogue-model.ts";
import { machines, Stack } from "./fixtures/stack.ts";

const MIB = 1024 * 1024;
/** Most memory of a brain, in bytes: one that is idle takes some 150 MiB, and what it holds of any one answer is bounded. */
const MOST_MEMORY = 600 * MIB;
const LINE = "forty characters of text are sent here.\n";

/** Ends floods. */
const dry = Promise.withResolvers<void>();
const over = (): Behaviour => answer(START, ...text("over"), ...stop("end_turn"));

/** Write as fast as it is read, until the reader goes. */
async function pour(response: ServerResponse, part: string, goesOn: () => boolean): Promise<void> {
  while (goesOn() && !response.destroyed) {
    if (!response.write(part)) await new Promise<void>((resolve) => response.once("drain", resolve).once("close", resolve));
    await setImmediate();
  }
}

const delta = (piece: Readonly<Record<string, unknown>> & { readonly type: string }) =>
  sse({ type: "content_block_delta", index: 0, delta: piece });
const [open] = text("");
const [openCall] = tool("write", "");
const LARGE = LINE.repeat(MIB / LINE.length);
const pieces = (JSON.stringify({ path: "large", content: LARGE }).match(/.{1,40}/gs) ?? []).map((partial_json) =>
  delta({ type: "input_json_delta", partial_json }),
);

const rogue = rogueModel({
  "a flood of text": (response) => {
    let flows = true;
    void dry.promise.then(() => {
      flows = false;
    });
    begin(response, sse(START, open as never));
    const piece = delta({ type: "text_delta", text: LINE });
    void pour(response, piece, () => flows).then(() => response.end(sse({ type: "content_block_stop", index: 0 }, ...stop("end_turn"))));
  },
  "a call without end": (response) => {
    begin(response, sse(START, openCall as never, ...tool("write", '{"path":"f","content":"').slice(1, 2)));
    void pour(response, delta({ type: "input_json_delta", partial_json: "x".repeat(40) }).repeat(100), () => true);
  },
  "a large call": (response, request, body) => {
    if (request > 0) return over()(response, request, body);
    begin(response, sse(START, openCall as never) + pieces.join("") + sse({ type: "content_block_stop", index: 0 }, ...stop("tool_use")));
    response.end();
  },
  "a large answer": answer(START, ...text(LINE.repeat((3 * MIB) / LINE.length)), ...stop("end_turn")),
  "a small call": (...request) =>
    (request[1] > 0 ? over() : answer(START, ...tool("bash", '{"command":"echo small"}'), ...stop("tool_use")))(...request),
});

const shared = machines();
const once = create(RetryPolicySchema, { maxAttempts: 1 });
const badly = () => ({ ANTHROPIC_BASE_URL: rogue().url, BRAIN_GRACE_MS: "3600000" });

/** The most memory that a process ever had, in bytes. */
async function peakMemory(brain: BrainProcess): Promise<number> {
  const status = await readFile(`/proc/${brain.pid}/status`, "utf8");
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

describe("many leaves in one brain", () => {
  test("go on while the model of one floods it with pieces", async () => {
    const stack = await Stack.open(shared);
    const brain = stack.brain(badly(), spawned);
    const flooded = await stack.submit("<a flood of text>");
    await stack.when(flooded, ({ event }) => event.case === "textDelta");
    const others = await Promise.all(Array.from({ length: 8 }, () => stack.submit("<a small call>")));
    for (const other of others) expect((await stack.ended(other)).state).toBe(LeafState.DONE);
    expect((await stack.get(flooded)).state).toBe(LeafState.RUNNING);
    dry.resolve();
    const ended = await stack.ended(flooded);
    expect(ended).toMatchObject({ state: LeafState.DONE, claims: 1, failedAttempts: 0 });
    expect(ended.result?.text.replaceAll(LINE, "")).toBe("");
    expect(await peakMemory(brain)).toBeLessThan(MOST_MEMORY);
  });

  test("go on while one gets a call of 1 MiB in pieces of forty characters, and it is made", async () => {
    const stack = await Stack.open(shared);
    // Read again with each piece, the call would take minutes, and a main loop that stands still loses its leaves.
    const brain = stack.brain({ ...badly(), BRAIN_LEASE_MS: "30000" }, spawned);
    const large = await stack.submit("<a large call>");
    const others = await Promise.all(Array.from({ length: 4 }, () => stack.submit("<a small call>")));
    for (const leaf of [large, ...others]) {
      expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.DONE, claims: 1, result: { text: "over" } });
    }
    expect((await stack.eventsOf(large, "toolEnded")).map(({ isError, text }) => [isError, text])).toEqual([
      [false, expect.stringContaining("large")],
    ]);
    expect(await peakMemory(brain)).toBeLessThan(MOST_MEMORY);
  });

  test("go on while one gets a call without end, which is broken off", async () => {
    const stack = await Stack.open(shared);
    const brain = stack.brain(badly(), spawned);
    const endless = await stack.submit("<a call without end>", { retry: once });
    const other = await stack.submit("<a small call>");
    expect(await stack.ended(other)).toMatchObject({ state: LeafState.DONE, claims: 1 });
    const failure = {
      reason: FailureReason.MODEL_UNAVAILABLE,
      retryable: false,
      message: expect.stringContaining("more than 16777216 bytes"),
    };
    expect((await stack.ended(endless)).failure).toMatchObject(failure);
    expect(await peakMemory(brain)).toBeLessThan(MOST_MEMORY);
  });

  test("outlive an answer of 3 MiB", async () => {
    const stack = await Stack.open(shared);
    const brain = stack.brain(badly(), spawned);
    const odd = await stack.submit("<a large answer>");
    const other = await stack.submit("<a small call>");
    expect(await stack.ended(odd)).toMatchObject({ state: LeafState.DONE, claims: 1 });
    expect(await stack.ended(other)).toMatchObject({ state: LeafState.DONE, claims: 1 });
    expect(await peakMemory(brain)).toBeLessThan(MOST_MEMORY);
  });

  test("go on while the command of one writes 100 MB, of which the end is kept", async () => {
    const stack = await Stack.open(shared);
    const held = await HeldCommand.make();
    const brain = stack.brain({ BRAIN_GRACE_MS: "3600000" });
    const loud = await stack.submit(
      scripted(bash(`yes ${LINE.trim().replaceAll(" ", "-")} | head -c 100000000; ${held.command}`), say("over")),
    );
    await held.begun();
    const others = await Promise.all(Array.from({ length: 4 }, () => stack.submit(scripted(bash("echo small"), say("over")))));
    for (const other of others) expect((await stack.ended(other)).state).toBe(LeafState.DONE);
    expect((await stack.get(loud)).state).toBe(LeafState.RUNNING);
    await held.open();
    expect(await stack.ended(loud)).toMatchObject({ state: LeafState.DONE, claims: 1 });
    expect((await stack.eventsOf(loud, "toolEnded"))[0]?.text).toMatch(/begun\ndone\n/);
    expect(await peakMemory(brain)).toBeLessThan(MOST_MEMORY);
  });

  test("are no more than it may have: the next stays in the queue, for another brain", async () => {
    const stack = await Stack.open(shared);
    const commands = await Promise.all([HeldCommand.make(), HeldCommand.make(), HeldCommand.make()]);
    const leaves = [];
    for (const held of commands) leaves.push(await stack.submit(scripted(bash(held.command), say("over"))));
    const first = stack.brain({ BRAIN_CONCURRENCY: "2" });
    await Promise.all(commands.slice(0, 2).map((held) => held.begun()));
    const states = await Promise.all(leaves.map(async (leaf) => (await stack.get(leaf)).state));
    expect(states).toEqual([LeafState.RUNNING, LeafState.RUNNING, LeafState.QUEUED]);
    stack.brain();
    await commands[2]?.begun();
    for (const held of commands) await held.open();
    for (const leaf of leaves) expect((await stack.ended(leaf)).state).toBe(LeafState.DONE);
    const workers = await Promise.all(leaves.map((leaf) => stack.eventsOf(leaf, "stateChanged")));
    const names = workers.map((changes) => changes.flatMap(({ worker }) => worker?.name ?? []).at(0));
    expect(names.map((name) => name === first.name)).toEqual([true, true, false]);
  });

  test("are not touched by one whose agent throws", async () => {
    const stack = await Stack.open(shared);
    const sessionId = "damaged";
    const brain = stack.brain({ BRAIN_GRACE_MS: "3600000" });
    const before = await stack.submit(scripted(say("whole")), { sessionId });
    await stack.ended(before);
    damage(stack, before.spec?.sessionId ?? "");
    const held = await HeldCommand.make();
    const other = await stack.submit(scripted(bash(held.command), say("over")));
    await held.begun();
    const broken = await stack.submit(scripted(say("never said")), { sessionId, retry: once });
    const ended = await stack.ended(broken);
    expect(ended).toMatchObject({ state: LeafState.FAILED, failure: { reason: FailureReason.INTERNAL } });
    expect(ended.failure?.message).toContain("the brain's log has the cause");
    expect((await stack.get(other)).state).toBe(LeafState.RUNNING);
    await held.open();
    expect(await stack.ended(other)).toMatchObject({ state: LeafState.DONE, claims: 1 });
    expect(brain.running).toBe(true);
  });
});

/** Make what a session's log holds unreadable, as a broken disk would. */
function damage(stack: Stack, sessionId: string): void {
  const db = new DatabaseSync(stack.storeUrl.slice("sqlite:".length), { timeout: 5000 });
  const { changes } = db.prepare("UPDATE entries SET payload = '{' WHERE session_id LIKE ?").run(`%${sessionId}`);
  db.close();
  expect(Number(changes)).toBeGreaterThan(0);
}
