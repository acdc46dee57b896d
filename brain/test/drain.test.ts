import { bash, say, scripted } from "@serverless-harness/pi-fork/testing";
import { LeafState } from "@serverless-harness/proto/leaf";
import { expect, test } from "vitest";
import { machines, Stack } from "./fixtures/stack.ts";

const shared = machines();
const LEAVES = 100;

test("a brain that is told to stop hands back each of 100 leaves at once: none waits for its lease, none has burnt an attempt", async () => {
  const stack = await Stack.open(shared);
  const brain = stack.brain({ BRAIN_CONCURRENCY: String(LEAVES) });
  const leaves = await Promise.all(Array.from({ length: LEAVES }, () => stack.submit(scripted(say("late", { delay_ms: 600_000 })))));
  await Promise.all(leaves.map((leaf) => stack.when(leaf, ({ event }) => event.case === "modelCallStarted")));
  expect(await stack.store.backlog()).toMatchObject({ ready: 0, running: LEAVES });
  const askedAt = performance.now();
  expect(await brain.kill("SIGTERM")).toMatchObject({ code: 0 });
  console.log(`${LEAVES} leaves were handed back in ${Math.round(performance.now() - askedAt)} ms`);
  expect(await stack.store.backlog()).toMatchObject({ ready: LEAVES, running: 0 });
  const handedBack = await Promise.all(leaves.map((leaf) => stack.get(leaf)));
  for (const { state, failedAttempts } of handedBack)
    expect({ state, failedAttempts }).toEqual({ state: LeafState.SUSPENDED, failedAttempts: 0 });
});

test("a brain that is told to stop asks for a snapshot of each leaf that changed its workspace, and waits for none that takes long", async () => {
  const stack = await Stack.open(shared);
  const brain = stack.brain({ BRAIN_CONCURRENCY: String(LEAVES) });
  const script = () => scripted(bash("echo a >a.txt"), say("late", { delay_ms: 600_000 }));
  const leaves = await Promise.all(Array.from({ length: LEAVES }, () => stack.submit(script())));
  const secondCall = () => {
    let calls = 0;
    return ({ event }: { event: { case?: unknown } }) => event.case === "modelCallStarted" && ++calls === 2;
  };
  await Promise.all(leaves.map((leaf) => stack.when(leaf, secondCall())));
  const askedAt = performance.now();
  expect(await brain.kill("SIGTERM")).toMatchObject({ code: 0 });
  console.log(`${LEAVES} leaves with changes were handed back in ${Math.round(performance.now() - askedAt)} ms`);
  expect(await stack.store.backlog()).toMatchObject({ ready: LEAVES, running: 0 });
});
