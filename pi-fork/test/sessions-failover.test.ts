import { BACKGROUND_CONTEXT, type Session } from "@earendil-works/pi-agent-core";
import { type LeafStore, openLeafStore } from "@serverless-harness/session";
import { claim, claimWhenReady, submit } from "@serverless-harness/session/testing";
import { RedisPair } from "@serverless-harness/session/testing/redis-pair";
import { expect, onTestFinished, test } from "vitest";
import type { PiSessions } from "../sessions/contract/sessions.ts";
import { openPiSessions } from "../sessions/open.ts";

async function place(): Promise<{ pair: RedisPair; store: LeafStore; sessions: PiSessions }> {
  const pair = await RedisPair.start();
  const store = await openLeafStore(pair.url());
  const sessions = openPiSessions(pair.url());
  onTestFinished(async () => {
    await sessions.close();
    await store.close();
    await pair[Symbol.asyncDispose]();
  });
  return { pair, store, sessions };
}

async function write(session: Session, text: string): Promise<void> {
  const main = (await session.branch("main", BACKGROUND_CONTEXT)) ?? (await session.createBranch("main", null, BACKGROUND_CONTEXT));
  await main.appendCustomEntry("note", text, BACKGROUND_CONTEXT);
}

async function notes(session: Session): Promise<unknown[]> {
  const entries = await session.findEntries({ order: "asc", type: "custom" }, BACKGROUND_CONTEXT);
  return entries.map((entry) => (entry.type === "custom" ? entry.data : undefined));
}

const stale = expect.objectContaining({ reason: "stale_epoch" });

test("a session whose claim was lost with the primary commits nothing more, and its next owner goes on from what the replica has", async () => {
  const { pair, store, sessions } = await place();
  await submit(store, { sessionId: "s" });
  const first = await claim(store);
  await write(await sessions.open(first.fence), "kept");
  await store.release(first, "drained");
  await pair.stopReplication();
  const lost = await claim(store);
  const session = await sessions.open(lost.fence);
  await write(session, "lost");
  await pair.failOver();
  await expect(write(session, "late")).rejects.toEqual(stale);
  const held = await claimWhenReady(store);
  expect(held.fence.epoch).not.toBe(lost.fence.epoch);
  await expect(write(session, "late")).rejects.toEqual(stale);
  const next = await sessions.open(held.fence);
  await write(next, "next");
  expect(await notes(next)).toEqual(["kept", "next"]);
});

test("a commit that was lost under a claim that the replica has is gone, and the session goes on behind the one before", async () => {
  const { pair, store, sessions } = await place();
  await submit(store, { sessionId: "s" });
  const { fence } = await claim(store);
  const session = await sessions.open(fence);
  await write(session, "kept");
  await pair.stopReplication();
  await write(session, "lost");
  await pair.failOver();
  await write(session, "next");
  await session.close(BACKGROUND_CONTEXT);
  expect(await notes(await sessions.open(fence))).toEqual(["kept", "next"]);
});
