import { FailureReason, LeafState } from "@serverless-harness/proto/leaf";
import { expect, test } from "vitest";
import { runDispatcher } from "./process.ts";
import { allEvents, claimed, newLeaf, newStore } from "./support.ts";

test("a leaf that no brain ever began, and one behind a busy session, are ended by their deadlines, and who watches is told", async () => {
  const opened = await newStore();
  const { store } = opened;
  const { leaves } = await runDispatcher(opened, { DISPATCHER_WAKER: "none" });
  const busy = (await store.submit(newLeaf({ sessionId: "busy" }))).leaf;
  const claim = await claimed(store);
  expect(claim.leaf.leafId).toBe(busy.leafId);
  for (const sessionId of ["idle", "busy"]) {
    const { leaf } = await leaves.submit({ spec: { prompt: "hello", sessionId, limits: { deadlineMs: 300n } } });
    const events = await allEvents(leaves.watch({ leafId: leaf?.leafId ?? "" }));
    expect(events.at(-1)?.event.value).toMatchObject({
      state: LeafState.FAILED,
      failure: {
        reason: FailureReason.DEADLINE_EXCEEDED,
        retryable: false,
        message: expect.stringContaining("before anybody began the leaf"),
      },
    });
  }
  expect((await store.get(busy.leafId))?.state).toBe(LeafState.RUNNING);
});
