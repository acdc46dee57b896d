import { create } from "@bufbuild/protobuf";
import { FailureReason, FailureSchema, LeafResultSchema, LeafState } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "@serverless-harness/session";
import { describe, expect, test } from "vitest";
import { claimed, newStore } from "../support.ts";
import { openRuns } from "./runs.ts";

const ENVELOPE = { sessionId: "s", item: { item_id: "i1", file: "risky.py", pattern: "eval(" } };
const NO_ROOM = create(FailureSchema, { reason: FailureReason.SANDBOX_UNAVAILABLE, retryable: true, message: "the sandbox is full" });
const SATURATED = { status: 503, headers: { "retry-after": "5" }, body: { status: "failed", reason: "saturated" } };

async function open(saturationMs: number) {
  const { store } = await newStore();
  return await openRuns(store, { saturationMs });
}

/** Claim the leaf that a request has just submitted. */
async function begun(store: LeafStore) {
  while ((await store.backlog()).ready === 0) await store.waitForWork(60_000, new AbortController().signal);
  return await claimed(store);
}

describe("a run for which there is no room in a sandbox", () => {
  test("is answered 503 when it has waited for long enough, without a message; it is queued, goes on, and is found by the next request", async () => {
    const { run, status, store } = await open(50);
    const answer = run(ENVELOPE);
    await store.retry(await begun(store), NO_ROOM, 0, []);
    expect(await answer).toMatchObject(SATURATED);
    expect((await answer).body).not.toHaveProperty("message");
    expect((await status({ sessionId: "s" })).body).toEqual({ status: "queued" });
    const value = { item_id: "i1", verdict: "CLEAR", reason: "so" };
    await store.finish(await begun(store), { state: LeafState.DONE, result: create(LeafResultSchema, { value }) }, []);
    expect((await run(ENVELOPE)).body).toEqual({ status: "done", verdict: value });
  });

  test("is answered with what it brings if there is room in time", async () => {
    const { run, store } = await open(60_000);
    const answer = run(ENVELOPE);
    await store.retry(await begun(store), NO_ROOM, 0, []);
    const value = { item_id: "i1", verdict: "CLEAR", reason: "so" };
    await store.finish(await begun(store), { state: LeafState.DONE, result: create(LeafResultSchema, { value }) }, []);
    expect(await answer).toMatchObject({ status: 200, body: { status: "done" } });
  });

  test("is answered 503 if it was given up, is queued by its status, and runs again with the next request", async () => {
    const { run, status, store } = await open(60_000);
    const answer = run(ENVELOPE);
    await store.finish(await begun(store), { state: LeafState.FAILED, failure: NO_ROOM }, []);
    expect(await answer).toMatchObject(SATURATED);
    expect((await status({ sessionId: "s" })).body).toEqual({ status: "queued" });
    const again = run(ENVELOPE);
    await store.finish(await begun(store), { state: LeafState.ABORTED }, []);
    expect((await again).body).toEqual({ status: "aborted" });
  });

  test("is not meant where a model is away: that is waited for", async () => {
    const { run, store } = await open(0);
    const answer = run(ENVELOPE);
    const away = create(FailureSchema, { reason: FailureReason.MODEL_UNAVAILABLE, retryable: true, message: "busy" });
    await store.retry(await begun(store), away, 0, []);
    await store.finish(await begun(store), { state: LeafState.FAILED, failure: away }, []);
    expect((await answer).body).toMatchObject({ status: "failed", reason: "error", message: "busy" });
  });
});

test("a run that somebody cancels is aborted, for good", async () => {
  const { run, store, status } = await open(60_000);
  const answer = run(ENVELOPE);
  const { leaf } = await begun(store);
  await store.releaseWorker(leaf.worker?.name ?? "", "gone");
  await store.cancel(leaf.leafId, "anna");
  await store.finish(await begun(store), { state: LeafState.CANCELLED }, []);
  for (const each of [await answer, await run(ENVELOPE), await status({ sessionId: "s" })])
    expect(each).toMatchObject({ status: 200, body: { status: "aborted" } });
});
