import { createLogger } from "@serverless-harness/kit/log";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { LeafState } from "@serverless-harness/proto/leaf";
import { openLeafStore } from "@serverless-harness/session";
import { expect, onTestFinished, test } from "vitest";
import { LostSandboxes } from "../../pool/lost-sandboxes.ts";
import { claimed, newLeaf } from "../support.ts";

const HOUR_MS = 3_600_000;

test("a leaf that waits for a command in a sandbox that is gone is woken; one in a sandbox that is there, or whose session sleeps, is not", async () => {
  const store = await openLeafStore(`sqlite:${await temporaryDirectory()}/leaf.db`);
  onTestFinished(() => store.close());
  await store.sandboxes.report({ name: "gone", address: "unix:/gone", stateId: "1" }, HOUR_MS);
  const leaves: Record<string, string> = {};
  const waits = async (sessionId: string, leaseMs: number): Promise<void> => {
    await store.submit(newLeaf({ sessionId }));
    const claim = await claimed(store);
    await store.sandboxes.place(claim.fence, {}, HOUR_MS);
    await store.sandboxes.hold(claim.fence, leaseMs);
    await store.suspend(claim, { wakeKey: "k", notBeforeMs: Date.now() + HOUR_MS }, "waits for a command", []);
    leaves[sessionId] = claim.leaf.leafId;
  };
  await waits("lost", HOUR_MS);
  await waits("without a lease", 0);
  await store.sandboxes.report({ name: "there", address: "unix:/there", stateId: "2" }, HOUR_MS);
  await store.sandboxes.drain("gone", true);
  await waits("elsewhere", HOUR_MS);
  await store.sandboxes.report({ name: "gone", address: "unix:/gone", stateId: "1" }, 1);
  const looking = new LostSandboxes({ store, aliveMs: 200, log: createLogger("test", "silent") });
  looking.start();
  onTestFinished(() => looking.stop());
  const woken = new AbortController();
  const notes: string[] = [];
  for await (const { event } of store.follow(leaves["lost"] ?? "", 0n, woken.signal)) {
    if (event.case !== "stateChanged" || event.value.state !== LeafState.SUSPENDED) continue;
    notes.push(event.value.note);
    if (notes.length === 2) woken.abort();
  }
  expect(notes).toEqual(["waits for a command", "its sandbox gone is gone"]);
  expect((await claimed(store)).leaf.leafId).toBe(leaves["lost"]);
  expect(await store.backlog()).toMatchObject({ ready: 0 });
});
