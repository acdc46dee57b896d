import { DatabaseSync } from "node:sqlite";
import { create } from "@bufbuild/protobuf";
import { openPiSessions, type SessionName } from "@serverless-harness/pi-fork";
import { bash, HeldCommand, say, scripted } from "@serverless-harness/pi-fork/testing";
import { FailureReason, type Leaf, LeafState, WorkerSchema } from "@serverless-harness/proto/leaf";
import { sessionKey } from "@serverless-harness/session";
import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { describe, expect, onTestFinished, test } from "vitest";
import { machines, Stack } from "./fixtures/stack.ts";

const shared = machines();
const server = redisServer();

const stores: Readonly<Record<string, () => Promise<Stack>>> = {
  SQLite: () => Stack.open(shared),
  Redis: () => Stack.open(shared, onTestFinished, server().freshUrl()),
};

const QUESTION = "What is the secret word?";

function nameOf({ spec }: Leaf): SessionName {
  return { tenant: spec?.tenant ?? "", sessionId: spec?.sessionId ?? "" };
}

/** Submit a leaf that goes on from another one's session, in a new one. */
function fork(stack: Stack, leaf: Leaf, entryId: string, prompt: string): Promise<Leaf> {
  return stack.submit(prompt, { fork: { $typeName: "harness.leaf.v1.Fork", sessionId: nameOf(leaf).sessionId, entryId } });
}

async function answered(stack: Stack, leaf: Leaf): Promise<string | undefined> {
  const ended = await stack.ended(leaf);
  expect(ended.failure).toBeUndefined();
  return ended.result?.text;
}

/** Id of the entry of a leaf's last answer. */
async function lastEntry(stack: Stack, leaf: Leaf): Promise<string> {
  return (await stack.eventsOf(leaf, "answer")).at(-1)?.entryId ?? "";
}

/** All that is written of a session. */
async function linesOf(stack: Stack, leaf: Leaf): Promise<string[]> {
  const sessions = openPiSessions(stack.storeUrl);
  try {
    const lines: string[] = [];
    for await (const line of sessions.exportSession(nameOf(leaf))) lines.push(line);
    return lines;
  } finally {
    await sessions.close();
  }
}

/** Remove the log of a leaf's session, as if it had been lost. */
async function removeLog(stack: Stack, leaf: Leaf): Promise<void> {
  const sessions = openPiSessions(stack.storeUrl);
  try {
    expect(await sessions.expireSessions({ idleMs: -60_000 })).toEqual([sessionKey(nameOf(leaf))]);
  } finally {
    await sessions.close();
  }
}

/** When a session was made, as its first line says. */
function createdAt([header = "{}"]: readonly string[]): unknown {
  return (JSON.parse(header) as { createdAt?: unknown }).createdAt;
}

/** How often the model was told in a session that it is a fork. */
async function notes(stack: Stack, leaf: Leaf): Promise<number> {
  return (await linesOf(stack, leaf)).join("\n").split("this conversation goes on from another one").length - 1;
}

describe.each(Object.entries(stores))("a fork, with a leaf store on %s,", (_, open) => {
  test("goes on from an earlier answer or from the newest one, with a copy of the files, and leaves the session alone", async () => {
    const stack = await open();
    stack.brain({ BRAIN_GRACE_MS: "3600000" });
    const first = await stack.submit("Remember the secret word: kiwi", { sessionId: "old" });
    await answered(stack, first);
    const on = { sessionId: nameOf(first).sessionId };
    await answered(stack, await stack.submit(scripted(bash("echo two >two.txt"), say("written")), on));
    const last = await stack.submit("Remember the secret word: mango", on);
    await answered(stack, last);
    const before = await linesOf(stack, first);

    expect(await answered(stack, await fork(stack, first, await lastEntry(stack, first), QUESTION))).toContain("kiwi");
    const newest = await fork(stack, first, "", QUESTION);
    expect(await answered(stack, newest)).toContain("mango");
    expect(await notes(stack, newest)).toBe(1);
    const files = await fork(
      stack,
      first,
      await lastEntry(stack, first),
      scripted(bash("cat two.txt; echo three >two.txt"), say("{{last_tool_result}}{{recall}}", { recall: "(may be newer)" })),
    );
    expect(await answered(stack, files)).toBe("two\nmay be newer");
    expect(nameOf(files).sessionId).not.toBe(nameOf(first).sessionId);

    expect(await linesOf(stack, first)).toEqual(before);
    expect(await answered(stack, await stack.submit(scripted(bash("cat two.txt"), say("{{last_tool_result}}")), on))).toBe("two\n");
  });

  test("may be forked, and another leaf goes on in it; each tells the model once", async () => {
    const stack = await open();
    stack.brain({ BRAIN_GRACE_MS: "3600000" });
    const first = await stack.submit("Remember the secret word: kiwi");
    await answered(stack, first);
    await answered(stack, await stack.submit(scripted(bash("echo 1 >n"), say("one")), { sessionId: nameOf(first).sessionId }));
    const second = await fork(stack, first, await lastEntry(stack, first), scripted(bash("echo 2 >>n"), say("two")));
    expect(await answered(stack, second)).toBe("two");
    const third = await fork(stack, second, "", scripted(bash("cat n"), say("{{last_tool_result}}")));
    expect(await answered(stack, third)).toBe("1\n2\n");
    const { sessionId } = nameOf(third);
    expect(await answered(stack, await stack.submit(QUESTION, { sessionId }))).toContain("kiwi");
    expect([await notes(stack, first), await notes(stack, second), await notes(stack, third)]).toEqual([0, 1, 2]);
  });

  test("of a session whose leaf is at work begins in front of the calls that are not over", async () => {
    const stack = await open();
    stack.brain({ BRAIN_GRACE_MS: "3600000" });
    const gate = await HeldCommand.make();
    const first = await stack.submit("Remember the secret word: kiwi");
    await answered(stack, first);
    const working = await stack.submit(scripted(bash(gate.command), say("{{last_tool_result}}")), { sessionId: nameOf(first).sessionId });
    await gate.begun();
    await stack.when(working, ({ event }) => event.case === "toolStarted");
    for (const entryId of ["", await lastEntry(stack, working)]) {
      const forked = await fork(stack, first, entryId, scripted(say("{{recall}}", { recall: "secret word: (\\w+)" })));
      expect(await answered(stack, forked)).toBe("kiwi");
      expect(await notes(stack, forked)).toBe(1);
    }
    await gate.open();
    expect(await answered(stack, working)).toBe("begun\ndone\n");
    expect(await gate.log()).toEqual(["begun", "done"]);
  });

  test("of a session that has not begun waits for it, and a fork of that fork as well; neither begins empty", async () => {
    const stack = await open();
    const first = await stack.submit("Remember the secret word: kiwi");
    const second = await fork(stack, first, "", QUESTION);
    const third = await fork(stack, second, "", QUESTION);
    // The session that is to be forked is held up.
    const held = await stack.store.claim(create(WorkerSchema, { name: "elsewhere" }), 600_000);
    expect(held?.leaf.leafId).toBe(first.leafId);
    stack.brain({ BRAIN_GRACE_MS: "3600000" });
    for (const leaf of [second, third]) {
      const note = "waits for the session that it forks to begin";
      await stack.when(leaf, ({ event }) => event.case === "stateChanged" && event.value.note === note);
    }
    if (held !== undefined) await stack.store.release(held, "");
    expect(await answered(stack, second)).toContain("kiwi");
    expect(await answered(stack, third)).toContain("kiwi");
    expect((await stack.get(second)).failedAttempts).toBe(0);
  });

  test("of a session in which no leaf ever talked to a model fails and says so", async () => {
    const stack = await open();
    const first = await stack.submit("never said");
    await stack.store.cancel(first.leafId, "");
    const forked = await fork(stack, first, "", QUESTION);
    stack.brain();
    expect((await stack.ended(forked)).failure).toMatchObject({
      reason: FailureReason.BAD_INPUTS,
      retryable: false,
      message: expect.stringContaining("the session that is to be forked has no conversation"),
    });
  });

  test("and every other leaf fails clearly where the session's log is gone", async () => {
    const stack = await open();
    stack.brain({ BRAIN_GRACE_MS: "3600000" });
    const first = await stack.submit("Remember the secret word: kiwi");
    await answered(stack, first);
    const { sessionId } = nameOf(first);
    await removeLog(stack, first);
    const failure = { reason: FailureReason.BAD_INPUTS, retryable: false };
    const gone = { ...failure, message: expect.stringContaining("the conversation of this session is gone") };
    expect((await stack.ended(await stack.submit(QUESTION, { sessionId }))).failure).toMatchObject(gone);
    expect((await stack.ended(await fork(stack, first, "", QUESTION))).failure).toMatchObject(failure);
  });

  test("at an entry that is not there fails at once, and leaves no session behind", async () => {
    const stack = await open();
    stack.brain({ BRAIN_GRACE_MS: "3600000" });
    const first = await stack.submit("Remember the secret word: kiwi");
    await answered(stack, first);
    const ended = await stack.ended(await fork(stack, first, "no-such-entry", QUESTION));
    expect(ended).toMatchObject({ state: LeafState.FAILED, claims: 1, failure: { reason: FailureReason.BAD_INPUTS, retryable: false } });
    expect(ended.failure?.message).toContain("no-such-entry");
    await expect(linesOf(stack, ended)).rejects.toMatchObject({ reason: "session_not_found" });
  });

  test("is made once, whenever brains are killed", async () => {
    const stack = await open();
    const first = await stack.submit("Remember the secret word: kiwi");
    await stack.brain().exited;
    await stack.submit(scripted(bash("echo 1 >n"), say("one")), { sessionId: nameOf(first).sessionId });
    await stack.brain().exited;
    const forked = await fork(stack, first, await lastEntry(stack, first), scripted(bash("cat n"), say("{{last_tool_result}}")));
    for (const message of ["leaf claimed", "leaf claimed"]) {
      const brain = stack.brain();
      await brain.logged(message);
      await stack.crash(brain);
    }
    stack.brain();
    expect(await answered(stack, forked)).toBe("1\n");
    expect(await notes(stack, forked)).toBe(1);
  });
});

test("a fork whose brain is killed between the copy and the note of it tells the model once", async () => {
  const stack = await Stack.open(shared);
  const first = await stack.submit(scripted(bash("echo 1 >n"), say("one")));
  await stack.brain().exited;
  const db = new DatabaseSync(stack.storeUrl.slice("sqlite:".length), { timeout: 5000 });
  onTestFinished(() => db.close());
  db.exec(`CREATE TRIGGER hold BEFORE INSERT ON scalar_values WHEN NEW.namespace = 'harness.workspace'
    BEGIN SELECT RAISE(ABORT, 'held'); END`);
  const forked = await fork(stack, first, "", scripted(bash("cat n"), say("{{last_tool_result}}")));
  const brain = stack.brain();
  await stack.inState(forked, LeafState.RETRYING);
  await brain.kill("SIGKILL");
  const held = await linesOf(stack, forked);
  expect(held.length).toBeGreaterThan(1);
  db.exec("DROP TRIGGER hold");
  await stack.store.releaseWorker(brain.name, "killed");
  stack.brain();
  expect(await answered(stack, forked)).toBe("1\n");
  expect(await notes(stack, forked)).toBe(1);
  // It is the same session, not another one of the same name.
  expect(createdAt(await linesOf(stack, forked))).toBe(createdAt(held));
});
