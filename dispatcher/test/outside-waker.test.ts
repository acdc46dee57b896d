import { create } from "@bufbuild/protobuf";
import { LeafState, WorkerSchema } from "@serverless-harness/proto/leaf";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { OutsideWaker } from "../waker/outside.ts";
import { askHttp1 } from "./http-client.ts";
import { AUTHORIZED, finishNext, newLeaf, newStore, openDoor, SILENT } from "./support.ts";

async function openOutside(kind: "none" | "keda", patienceMs: number) {
  const { store } = await newStore();
  const waker = new OutsideWaker({ kind, store, log: SILENT, patienceMs });
  onTestFinished(() => waker.stop());
  const door = await openDoor({ store, waker });
  waker.start();
  const health = () => askHttp1(door.origin, "/health", { headers: AUTHORIZED });
  return { store, waker, health };
}

describe.each(["none", "keda"] as const)("with brains that somebody else starts (%s)", (kind) => {
  test("leaves that no brain takes are a problem that /health tells, until one takes them", async () => {
    const { store, waker, health } = await openOutside(kind, 1);
    expect(await health()).toMatchObject({ status: 200, body: { status: "ok", waker: kind } });
    const { leaf } = await store.submit(newLeaf());
    await vi.waitFor(() => expect(waker.status().problem).toBeDefined(), { timeout: 60_000, interval: 10 });
    expect(await health()).toMatchObject({
      status: 503,
      body: {
        status: "no_brain",
        problem: expect.stringMatching(new RegExp(`^1 leaf is ready, and for \\d+ s no brain took any; .*DISPATCHER_WAKER=${kind}`)),
      },
    });
    // Its place in the queue stays as it is: a scaler counts it.
    expect(await store.backlog()).toMatchObject({ ready: 1 });
    expect((await store.get(leaf.leafId))?.state).toBe(LeafState.QUEUED);
    await finishNext(store, "at last");
    await vi.waitFor(async () => expect((await health()).status).toBe(200), { timeout: 60_000, interval: 10 });
  });
});

test("leaves that wait while a brain works on others are no problem", async () => {
  const { store, waker } = await openOutside("none", 0);
  await store.submit(newLeaf());
  await store.claim(create(WorkerSchema, { name: "brain" }), 60_000);
  await store.submit(newLeaf());
  // It looks at once when it starts, and again after each change.
  const later = new OutsideWaker({ kind: "none", store, log: SILENT, patienceMs: 0 });
  later.start();
  await later.stop();
  expect(await store.backlog()).toMatchObject({ ready: 1, running: 1 });
  expect(later.status().problem).toBeUndefined();
  await waker.stop();
  expect(waker.status().problem).toBeUndefined();
});

test("leaves that nobody has taken yet are no problem", async () => {
  const { store, waker } = await openOutside("none", 3_600_000);
  await store.submit(newLeaf());
  await waker.stop();
  expect(waker.status().problem).toBeUndefined();
});
