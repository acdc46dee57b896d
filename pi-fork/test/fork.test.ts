import { join } from "node:path";
import {
  branchTip,
  BACKGROUND_CONTEXT as CONTEXT,
  type Entry,
  laneConfig,
  laneState,
  type Session,
  setValue,
} from "@earendil-works/pi-agent-core";
import type { AssistantMessage } from "@earendil-works/pi-ai";
import { storeDirectory } from "@serverless-harness/kit/testing";
import { type Fence, type LeafStore, openLeafStore } from "@serverless-harness/session";
import { claim, submit } from "@serverless-harness/session/testing";
import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { describe, expect, onTestFinished, test } from "vitest";
import type { PiSessions } from "../sessions/contract/sessions.ts";
import { openPiSessions } from "../sessions/open.ts";

const server = redisServer();

const addresses: Readonly<Record<string, () => Promise<string>>> = {
  SQLite: async () => `sqlite:${join(await storeDirectory(), "leaf.db")}`,
  Redis: async () => server().freshUrl(),
};

interface House {
  readonly store: LeafStore;
  readonly sessions: PiSessions;
  readonly url: string;
}

async function openHouse(url: string): Promise<House> {
  const sessions = openPiSessions(url);
  const store = await openLeafStore(url);
  onTestFinished(async () => {
    await sessions.close();
    await store.close();
  });
  return { store, sessions, url };
}

async function own(store: LeafStore, sessionId: string): Promise<Fence> {
  await submit(store, { sessionId });
  return (await claim(store)).fence;
}

/** An open session with a lane, as an agent leaves one behind. */
async function openLane(sessions: PiSessions, fence: Fence): Promise<Session> {
  const session = await sessions.open(fence);
  await session.mutate(async (mutator) => {
    const model = { provider: "p", modelId: "m" };
    await mutator.commit(
      [
        setValue(branchTip("main"), null),
        setValue(laneConfig("main"), { model, thinkingLevel: "off", activeToolNames: [] }),
        setValue(laneState("main"), { currentOperationId: null, lastOperationId: null, inbox: [] }),
      ],
      CONTEXT,
    );
  }, CONTEXT);
  return session;
}

type Said = Parameters<NonNullable<Awaited<ReturnType<Session["branch"]>>>["appendMessage"]>[0];

async function add(session: Session, message: Said): Promise<string> {
  const main = await session.branch("main", CONTEXT);
  if (main === undefined) throw new Error("there is no branch");
  return main.appendMessage(message, CONTEXT);
}

const say = (text: string): Said => ({ role: "user", content: text, timestamp: 1 });

function call(...ids: string[]): AssistantMessage {
  const content = ids.map((id) => ({ type: "toolCall" as const, id, name: "bash", arguments: {} }));
  const cost = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, total: 0 };
  const usage = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, totalTokens: 0, cost };
  return { role: "assistant", content, api: "a", provider: "p", model: "m", usage, stopReason: "toolUse", timestamp: 1 };
}

const result = (toolCallId: string): Said => ({
  role: "toolResult",
  toolCallId,
  toolName: "bash",
  content: [{ type: "text", text: toolCallId }],
  isError: false,
  timestamp: 1,
});

/** The conversation of a fork that is there. */
async function entriesOf(sessions: PiSessions, fence: Fence): Promise<Entry[]> {
  const session = await sessions.open(fence);
  try {
    const start = (await session.getValue(branchTip("main"), CONTEXT))?.value ?? null;
    return start === null ? [] : await session.scanBranch({ start, order: "oldestFirst" }, CONTEXT);
  } finally {
    await session.close(CONTEXT);
  }
}

async function idsOf(sessions: PiSessions, fence: Fence): Promise<string[]> {
  return (await entriesOf(sessions, fence)).map(({ id }) => id);
}

describe.each(Object.entries(addresses))("a fork of one of Pi's sessions on %s", (_, address) => {
  test("has the entries up to the one that is named, and no more with the next call", async () => {
    const { store, sessions } = await openHouse(await address());
    const from = await own(store, "s");
    const source = await openLane(sessions, from);
    const ids = [await add(source, say("a")), await add(source, say("b")), await add(source, say("c"))];
    const [first, second] = [await own(store, "t"), await own(store, "u")];
    expect(await sessions.fork(from, ids[1] ?? "", first)).toEqual({ newest: false });
    expect(await sessions.fork(from, "", second)).toEqual({ newest: true });
    ids.push(await add(source, say("d")));
    expect(await sessions.fork(from, "", second)).toEqual({ newest: false });
    expect(await idsOf(sessions, first)).toEqual(ids.slice(0, 2));
    expect(await idsOf(sessions, second)).toEqual(ids.slice(0, 3));
    const copy = await sessions.open(first);
    expect(copy.metadata.parentSessionId).toBe("acme/s");
    await copy.close(CONTEXT);
    await source.close(CONTEXT);
    expect(await idsOf(sessions, from)).toEqual(ids);
  });

  test("leaves out an answer whose calls have not all got their results", async () => {
    const { store, sessions } = await openHouse(await address());
    const from = await own(store, "s");
    const source = await openLane(sessions, from);
    const ids = [];
    for (const message of [say("go"), call("1", "2"), result("1"), result("2"), call("3", "4"), result("3")])
      ids.push(await add(source, message));
    // What is left at each point: a prompt, or all calls with their results.
    const lengths = [1, 1, 1, 4, 4, 4];
    for (const [index, length] of lengths.entries()) {
      const fence = await own(store, `fork-${index}`);
      await sessions.fork(from, ids[index] ?? "", fence);
      expect(await idsOf(sessions, fence)).toEqual(ids.slice(0, length));
    }
    const cut: Said = { ...call("5"), stopReason: "aborted" };
    await source.close(CONTEXT);
    const again = await sessions.open(from);
    await add(again, result("4"));
    const last = await add(again, cut);
    await again.close(CONTEXT);
    const fence = await own(store, "behind-a-cut-answer");
    expect(await sessions.fork(from, last, fence)).toEqual({ newest: true });
    expect((await idsOf(sessions, fence)).at(-1)).toBe(last);
  });

  test("is refused to an owner that is no longer one, at an unknown entry, and of nothing; nothing is made then", async () => {
    const { store, sessions } = await openHouse(await address());
    const from = await own(store, "s");
    const source = await openLane(sessions, from);
    const id = await add(source, say("a"));
    await source.close(CONTEXT);
    const fence = await own(store, "t");
    const old = { ...fence, epoch: fence.epoch - 1n };
    await expect(sessions.fork(from, id, old)).rejects.toMatchObject({ reason: "stale_epoch" });
    await expect(sessions.fork(from, "nowhere", fence)).rejects.toMatchObject({ reason: "unknown_entry" });
    const aside = await own(store, "aside");
    const branched = await openLane(sessions, aside);
    const left = await add(branched, say("left"));
    await branched.setValue(branchTip("main"), null, CONTEXT);
    await add(branched, say("taken"));
    await branched.close(CONTEXT);
    await expect(sessions.fork(aside, left, fence)).rejects.toMatchObject({ reason: "unknown_entry" });
    const nobody = { tenant: "acme", sessionId: "nobody" };
    await expect(sessions.fork(nobody, id, fence)).rejects.toMatchObject({ reason: "unknown_entry" });
    expect(await sessions.fork(nobody, "", fence)).toEqual({ newest: true });
    const lines = sessions.exportSession(fence)[Symbol.asyncIterator]();
    await expect(lines.next()).rejects.toMatchObject({ reason: "session_not_found" });
    await sessions.fork(from, id, fence);
    expect(await idsOf(sessions, fence)).toEqual([id]);
  });

  test("of a long conversation that goes on meanwhile is whole, also where the first one who made it was cut off", async () => {
    const { store, sessions, url } = await openHouse(await address());
    const from = await own(store, "s");
    const source = await openLane(sessions, from);
    const ids: string[] = [];
    for (let i = 0; i < 1200; i++) ids.push(await add(source, say(`message ${i}`)));
    const fence = await own(store, "t");
    const other = openPiSessions(url);
    const cutOff = other.fork(from, "", fence).catch(() => undefined);
    for (let i = 0; i < 20; i++) ids.push(await add(source, say("meanwhile")));
    await other.close();
    await cutOff;
    let writing = true;
    const meanwhile = (async () => {
      while (writing) {
        await add(source, say("meanwhile"));
        // SQLite's commits are made at once, and would keep everybody else waiting.
        await new Promise(setImmediate);
      }
    })();
    await sessions.fork(from, ids[1000] ?? "", fence);
    writing = false;
    await meanwhile;
    await source.close(CONTEXT);
    const found = await idsOf(sessions, fence);
    const all = await idsOf(sessions, from);
    expect(found.length).toBeGreaterThan(1000);
    expect(found).toEqual(all.slice(0, found.length));
  });
});
