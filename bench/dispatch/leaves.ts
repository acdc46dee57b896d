import type { LeafStore } from "@serverless-harness/session";
import { done, specOf, workerOf } from "@serverless-harness/session/testing";

const LEASE_MS = 60_000;
const WORKER = workerOf("bench");

/** Submit, claim and finish one leaf, whichever is next; `sessionId` empty: on a session of its own. */
export async function runOne(store: LeafStore, sessionId = ""): Promise<void> {
  await store.submit({ spec: specOf({ sessionId }), idempotencyKey: "" });
  const claim = await store.claim(WORKER, LEASE_MS);
  if (claim === undefined) throw new Error("nothing was ready behind a submit");
  await store.finish(claim, done("hi"), []);
}

/** Leaves per second, each submitted, claimed and finished, `inFlight` of them at any time. */
export async function leavesPerSecond(store: LeafStore, inFlight: number, leaves: number): Promise<number> {
  let left = leaves;
  const started = performance.now();
  const loop = async (): Promise<void> => {
    while (left-- > 0) await runOne(store);
  };
  await Promise.all(Array.from({ length: inFlight }, loop));
  return leaves / ((performance.now() - started) / 1000);
}

/** Milliseconds of submitting a leaf, and from there to its claim, of each of `leaves`, with a worker of another process' handle that waits. */
export async function leafDelays(store: LeafStore, worker: LeafStore, leaves: number): Promise<{ submit: number[]; claim: number[] }> {
  const times = { submit: [] as number[], claim: [] as number[] };
  const never = new AbortController().signal;
  for (let i = 0; i < leaves; i++) {
    const claimed = (async () => {
      await worker.waitForWork(LEASE_MS, never);
      const claim = await worker.claim(WORKER, LEASE_MS);
      const at = performance.now();
      if (claim === undefined) throw new Error("a worker was woken for nothing");
      await worker.finish(claim, done("hi"), []);
      return at;
    })();
    // The worker has to wait before the leaf is there, as it does when it has been idle.
    await worker.backlog();
    const started = performance.now();
    await store.submit({ spec: specOf(), idempotencyKey: "" });
    times.submit.push(performance.now() - started);
    times.claim.push((await claimed) - started);
  }
  return times;
}
