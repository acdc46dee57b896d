import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HarnessError } from "@serverless-harness/kit/errors";
import { LeafStateSchema } from "@serverless-harness/proto/leaf";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Claim, LeafStore } from "../leaf-store.ts";
import { RedisLeafStore } from "../redis/store.ts";
import { SqliteLeafStore } from "../sqlite/store.ts";
import { assertGapFree, delta, done, failureOf, logOf, recordOf, submit, words, workerOf } from "../testing/build.ts";
import { redisServer } from "../testing/redis-vitest.ts";
import { addressOf } from "./redis-fixture.ts";
import { type ReferenceClaim, type ReferenceLeaf, ReferenceQueue } from "./reference-queue.ts";

/** What became of the steps so far, and the reference beside the store. */
interface Run {
  readonly reference: ReferenceQueue;
  readonly leafIds: string[];
  /** Every claim that was ever made, also those that ended long ago. */
  readonly claims: (readonly [ReferenceClaim, Claim])[];
}

/** One step on store and reference, which has to come out the same on both. */
type Step = (run: Run, store: LeafStore) => Promise<void>;

const WORKERS = ["a", "b", "c"];

/** Take a step with one of the claims that there ever were: refused, unless the reference says that it still holds its leaf. */
function withClaim(
  pick: number,
  real: (store: LeafStore, claim: Claim, run: Run) => Promise<unknown>,
  reference: (leaf: ReferenceLeaf, run: Run) => void,
): Step {
  return async (run, store) => {
    const pair = run.claims[pick % Math.max(1, run.claims.length)];
    if (pair === undefined) return;
    const leaf = run.reference.held(pair[0]);
    const outcome = await real(store, pair[1], run).then(
      () => "ok",
      (error: unknown) => (error instanceof HarnessError ? error.reason : error),
    );
    expect(outcome).toBe(leaf === undefined ? "stale_epoch" : "ok");
    if (leaf !== undefined) reference(leaf, run);
  };
}

const pick = fc.nat({ max: 40 });
const leaseMs = fc.integer({ min: 1, max: 300 });
const worker = fc.constantFrom(...WORKERS);
const key = fc.constantFrom("k1", "k2", "k3");

const steps: fc.Arbitrary<readonly [string, Step]> = fc.oneof(
  { weight: 5, arbitrary: fc.tuple(fc.constant("submit"), fc.constantFrom("s", "t", "u").map(submitStep)) },
  { weight: 6, arbitrary: fc.tuple(fc.constant("claim"), fc.tuple(worker, leaseMs).map(claimStep)) },
  { weight: 3, arbitrary: fc.tuple(fc.constant("advance"), fc.integer({ min: 1, max: 250 }).map(advanceStep)) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("heartbeat"), fc.tuple(pick, leaseMs).map(heartbeatStep)) },
  { weight: 3, arbitrary: fc.tuple(fc.constant("append"), fc.tuple(pick, key).map(appendStep)) },
  { weight: 3, arbitrary: fc.tuple(fc.constant("finish"), pick.map(finishStep)) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("retry"), fc.tuple(pick, fc.integer({ min: -50, max: 300 })).map(retryStep)) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("release"), pick.map(releaseStep)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("release worker"), worker.map(releaseWorkerStep)) },
);

function submitStep(sessionId: string): Step {
  return async ({ reference, leafIds }, store) => {
    leafIds.push((await submit(store, { sessionId })).leafId);
    reference.submit(sessionId);
  };
}

function claimStep([name, lease]: [string, number]): Step {
  return async ({ reference, leafIds, claims }, store) => {
    const real = await store.claim(workerOf(name), lease);
    const expected = reference.claim(name, lease);
    expect(real && { leaf: leafIds.indexOf(real.leaf.leafId), epoch: Number(real.fence.epoch), takeover: real.takeover }).toEqual(expected);
    if (real !== undefined && expected !== undefined) claims.push([expected, real]);
  };
}

function advanceStep(ms: number): Step {
  return async ({ reference }) => {
    reference.nowMs += ms;
  };
}

function heartbeatStep([which, lease]: [number, number]): Step {
  return withClaim(
    which,
    (store, claim) => store.heartbeat(claim, lease),
    (leaf, { reference }) => {
      leaf.dueMs = reference.nowMs + lease;
    },
  );
}

function appendStep([which, name]: [number, string]): Step {
  return withClaim(
    which,
    (store, claim) => store.append(claim, [delta(name, name)]),
    (leaf, { reference }) => reference.append(leaf, name, name),
  );
}

function finishStep(which: number): Step {
  return withClaim(
    which,
    (store, claim) => store.finish(claim, done("x"), [delta("bye", "bye")]),
    (leaf, { reference }) => {
      reference.append(leaf, "bye", "bye");
      reference.end(leaf, "done");
    },
  );
}

function retryStep([which, wait]: [number, number]): Step {
  return withClaim(
    which,
    (store, claim, { reference }) => store.retry(claim, failureOf("x"), reference.nowMs + wait, []),
    (leaf, { reference }) => reference.end(leaf, "retrying", reference.nowMs + wait),
  );
}

function releaseStep(which: number): Step {
  return withClaim(
    which,
    (store, claim) => store.release(claim, "drained"),
    (leaf, { reference }) => reference.end(leaf, "suspended"),
  );
}

function releaseWorkerStep(name: string): Step {
  return async ({ reference }, store) => {
    expect(await store.releaseWorker(name, "died")).toBe(reference.releaseWorker(name));
  };
}

async function assertSame({ reference, leafIds }: Run, store: LeafStore): Promise<void> {
  expect(await store.backlog()).toEqual(reference.backlog());
  for (const [number, expected] of reference.leaves.entries()) {
    const leaf = await recordOf(store, leafIds[number] ?? "");
    const log = await logOf(store, leaf.leafId);
    assertGapFree(log);
    expect({
      state: LeafStateSchema.value[leaf.state]?.localName.toLowerCase(),
      worker: leaf.worker?.name,
      epoch: Number(leaf.epoch),
      claims: leaf.claims,
      failedAttempts: leaf.failedAttempts,
      log: words(log),
    }).toEqual({
      state: expected.state,
      worker: expected.worker,
      epoch: expected.epoch,
      claims: expected.claims,
      failedAttempts: expected.failedAttempts,
      log: expected.log,
    });
  }
}

/** A store whose handles read the time from `now`. */
interface Clocked extends AsyncDisposable {
  open(now: () => number): Promise<LeafStore>;
}

async function clockedSqlite(): Promise<Clocked> {
  const directory = await mkdtemp(join(tmpdir(), "queue-"));
  return {
    open: async (now) => SqliteLeafStore.open(join(directory, "leaf.db"), { now }),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}

const server = redisServer();

/** Between partitions, the oldest leaf comes first only as far as they have told of it; within one it always does. */
async function clockedRedis(): Promise<Clocked> {
  const address = addressOf(server().freshUrl("partitions=1"));
  return { open: (now) => RedisLeafStore.open(address, { now }), [Symbol.asyncDispose]: async () => undefined };
}

const drivers = { SQLite: clockedSqlite, Redis: clockedRedis };

test.each(Object.entries(drivers))("any sequence of steps, on two handles on %s, ends as the reference queue says", async (_, place) => {
  const sequence = fc.array(fc.tuple(fc.nat({ max: 1 }), steps), { minLength: 1, maxLength: 60, size: "max" });
  await fc.assert(
    fc.asyncProperty(sequence, async (taken) => {
      await using clocked = await place();
      const reference = new ReferenceQueue();
      const [first, second] = [await clocked.open(() => reference.nowMs), await clocked.open(() => reference.nowMs)];
      const run: Run = { reference, leafIds: [], claims: [] };
      try {
        for (const [index, [, step]] of taken) {
          const [acting, other] = index === 0 ? [first, second] : [second, first];
          await step(run, acting);
          expect(await other.backlog()).toEqual(reference.backlog());
        }
        await assertSame(run, first);
      } finally {
        await first.close();
        await second.close();
      }
    }),
    { numRuns: 120 },
  );
});
