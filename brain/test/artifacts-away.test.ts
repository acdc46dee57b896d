import { bash, say, scripted } from "@serverless-harness/pi-fork/testing";
import { LeafState } from "@serverless-harness/proto/leaf";
import { expect, test } from "vitest";
import { machines, Stack } from "./fixtures/stack.ts";

/** Nobody listens there. */
const shared = machines({
  HANDS_ARTIFACTS: "s3://bucket/prefix?endpoint=http://127.0.0.1:9&region=here&path_style=true",
  AWS_ACCESS_KEY_ID: "id",
  AWS_SECRET_ACCESS_KEY: "secret",
});

test("a leaf is done without its snapshot where the artifact store can't be reached, and the log says why", async () => {
  const stack = await Stack.open(shared);
  const brain = stack.brain({ BRAIN_HANDS_PATIENCE_MS: "600000" });
  const leaf = await stack.submit(scripted(bash("echo a >a.txt"), say("done")));
  expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.DONE, failedAttempts: 0 });
  expect(await stack.eventsOf(leaf, "snapshotTaken")).toEqual([]);
  expect((await brain.logged("no snapshot was taken"))["err"]).toMatchObject({ reason: "artifacts_unavailable" });
});

test("a leaf whose snapshots can't be reached waits for its next attempt instead of going on without its files", async () => {
  const stack = await Stack.open(shared);
  stack.brain({ BRAIN_GRACE_MS: "60000" });
  const first = await stack.submit(scripted(bash("echo a >a.txt"), say("done")));
  await stack.ended(first);
  await shared.hands.replace();
  const second = await stack.submit(scripted(say("never said")), { sessionId: first.spec?.sessionId ?? "" });
  await stack.inState(second, LeafState.RETRYING);
  const failed = await stack.ended(second);
  expect(failed.state).toBe(LeafState.FAILED);
  expect(failed.failure).toMatchObject({ retryable: true });
  expect(failed.failure?.message).toContain("the artifact store");
});
