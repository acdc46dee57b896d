import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { HarnessError } from "@serverless-harness/kit/errors";
import { STORES } from "@serverless-harness/kit/testing/memory";
import { LeafStateSchema } from "@serverless-harness/proto/leaf";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Claim } from "../contract/claim.ts";
import type { LeafStore } from "../contract/leaf-store.ts";
import { openRedisLeafStore } from "../redis/store.ts";
import { openSqliteLeafStore } from "../sqlite/store.ts";
import {
  approval,
  assertGapFree,
  delta,
  done,
  failed,
  failureOf,
  gateOf,
  logOf,
  recordOf,
  submit,
  words,
  workerOf,
} from "../testing/build.ts";
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

const key2 = fc.constantFrom("w1", "w2");
const gate = fc.constantFrom("g1", "g2");
const within = fc.integer({ min: -50, max: 300 });
const spec = fc.tuple(fc.constantFrom("a", "b", "c"), fc.constantFrom("s", "t"), fc.constantFrom(0, 0, 1, -1));
const wait = fc.record({
  gates: fc.uniqueArray(gate),
  key: fc.option(key2, { nil: undefined }),
  ms: fc.option(within, { nil: undefined }),
});

type Weighted = fc.WeightedArbitrary<readonly [string, Step]>;

function named(weight: number, name: string, step: fc.Arbitrary<Step>): Weighted {
  return { weight, arbitrary: fc.tuple(fc.constant(name), step) };
}

const queueSteps: readonly Weighted[] = [
  named(5, "submit", spec.map(submitStep)),
  named(7, "claim", fc.tuple(worker, leaseMs).map(claimStep)),
  named(3, "advance", fc.integer({ min: 1, max: 250 }).map(advanceStep)),
  named(2, "heartbeat", fc.tuple(pick, leaseMs).map(heartbeatStep)),
  named(3, "append", fc.tuple(pick, key).map(appendStep)),
  named(2, "finish", pick.map(finishStep)),
  named(2, "retry", fc.tuple(pick, within).map(retryStep)),
  named(2, "release", pick.map(releaseStep)),
  named(1, "release worker", worker.map(releaseWorkerStep)),
];

const moreSteps: readonly Weighted[] = [
  named(4, "suspend", fc.tuple(pick, wait).map(suspendStep)),
  named(3, "wake", fc.tuple(pick, key2).map(wakeStep)),
  named(4, "open gate", fc.tuple(pick, gate, fc.option(within, { nil: undefined })).map(openGateStep)),
  named(3, "decide", fc.tuple(pick, gate).map(decideStep)),
  named(2, "cancel", pick.map(cancelStep)),
  named(2, "fail", pick.map(failStep)),
  named(3, "redrive", fc.tuple(pick, fc.boolean()).map(redriveStep)),
  named(1, "sweep", fc.constantFrom(0, 100, 1000).map(sweepStep)),
  named(1, "set tenant", fc.tuple(fc.constantFrom("a", "b", "c"), fc.constantFrom(1, 2, 3), fc.constantFrom(0, 0, 1, 2)).map(tenantStep)),
];

function submitStep([tenant, sessionId, priority]: [string, string, number]): Step {
  return async ({ reference, leafIds }, store) => {
    leafIds.push((await submit(store, { tenant, sessionId, priority })).leafId);
    reference.submit(tenant, sessionId, priority);
  };
}

/** Take a step on one of the leaves that there ever were. */
function withLeaf(pick: number, check: (run: Run, store: LeafStore, leafId: string, leaf: ReferenceLeaf) => Promise<void>): Step {
  return async (run, store) => {
    const number = pick % Math.max(1, run.leafIds.length);
    const [leafId, leaf] = [run.leafIds[number], run.reference.leaves[number]];
    if (leafId !== undefined && leaf !== undefined) await check(run, store, leafId, leaf);
  };
}

/** The reason of a refusal, or `ok`. */
async function reasonOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => "ok",
    (error: unknown) => (error instanceof HarnessError ? error.reason : error),
  );
}

function suspendStep([which, { gates, key, ms }]: [number, { gates: string[]; key: string | undefined; ms: number | undefined }]): Step {
  return async (run, store) => {
    const leaf =
      run.claims.length === 0 ? undefined : run.reference.held((run.claims[which % run.claims.length] as Run["claims"][number])[0]);
    const opened = gates.filter((each) => leaf?.gates.has(each));
    const notBeforeMs = ms === undefined ? undefined : run.reference.nowMs + ms;
    const step = withClaim(
      which,
      (acting, claim) =>
        acting.suspend(
          claim,
          { gateIds: opened, ...(key === undefined ? {} : { wakeKey: key }), ...(notBeforeMs === undefined ? {} : { notBeforeMs }) },
          "",
          [],
        ),
      (suspended, { reference }) => reference.suspend(suspended, { gates: opened, key, notBeforeMs }),
    );
    await step(run, store);
  };
}

function wakeStep([which, name]: [number, string]): Step {
  return withLeaf(which, async ({ reference }, store, leafId, leaf) => {
    expect(await store.wake(leafId, name)).toBe(reference.wake(leaf, name));
  });
}

function openGateStep([which, gateId, ms]: [number, string, number | undefined]): Step {
  return withClaim(
    which,
    (store, claim, { reference }) =>
      store.openGate(claim, gateOf(gateId, { deadlineMs: ms === undefined ? 0n : BigInt(reference.nowMs + ms) })),
    (leaf, { reference }) => reference.openGate(leaf, gateId, ms === undefined ? 0 : reference.nowMs + ms),
  );
}

function decideStep([which, gateId]: [number, string]): Step {
  return withLeaf(which, async ({ reference }, store, leafId, leaf) => {
    expect(await reasonOf(store.decide(leafId, gateId, approval()))).toBe(reference.decide(leaf, gateId));
  });
}

function cancelStep(which: number): Step {
  return withLeaf(which, async ({ reference }, store, leafId, leaf) => {
    expect(await reasonOf(store.cancel(leafId, "ann"))).toBe(leaf.gone ? "leaf_not_found" : "ok");
    reference.cancel(leaf);
  });
}

function failStep(which: number): Step {
  return withClaim(
    which,
    (store, claim) => store.finish(claim, failed("x"), []),
    (leaf, { reference }) => reference.end(leaf, "failed"),
  );
}

function redriveStep([which, fromStart]: [number, boolean]): Step {
  return withLeaf(which, async ({ reference }, store, leafId, leaf) => {
    expect(await reasonOf(store.redrive(leafId, fromStart))).toBe(reference.redrive(leaf));
  });
}

function sweepStep(leafMs: number): Step {
  return async ({ reference }, store) => {
    expect(await store.sweep({ leafMs, tombstoneMs: 1_000_000 }, 1000)).toBe(reference.sweep(leafMs));
  };
}

function tenantStep([tenant, weight, maxRunning]: [string, number, number]): Step {
  return async ({ reference }, store) => {
    await store.setTenant(tenant, { weight, maxRunning });
    reference.tenants.set(tenant, { weight, maxRunning });
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
    if (expected.gone) {
      expect(await store.get(leafIds[number] ?? "")).toBe(undefined);
      expect((await store.tombstone(leafIds[number] ?? ""))?.leafId).toBe(leafIds[number]);
      continue;
    }
    const leaf = await recordOf(store, leafIds[number] ?? "");
    const log = await logOf(store, leaf.leafId);
    assertGapFree(log);
    expect({
      state: LeafStateSchema.value[leaf.state]?.localName.toLowerCase(),
      worker: leaf.worker?.name,
      epoch: Number(leaf.epoch),
      claims: leaf.claims,
      failedAttempts: leaf.failedAttempts,
      attempts: leaf.attempts.length,
      redrives: leaf.redrives,
      cancel: leaf.cancelRequested,
      openGates: leaf.openGates.map((each) => each.gateId),
      log: words(log),
    }).toEqual({
      state: expected.state,
      worker: expected.worker,
      epoch: expected.epoch,
      claims: expected.claims,
      failedAttempts: expected.failedAttempts,
      attempts: expected.attempts,
      redrives: expected.redrives,
      cancel: expected.cancel,
      openGates: [...expected.gates].flatMap(([gateId, { decided }]) => (decided ? [] : [gateId])),
      log: expected.log,
    });
  }
}

/** A store whose handles read the time from `now`. */
interface Clocked extends AsyncDisposable {
  open(now: () => number): Promise<LeafStore>;
}

async function clockedSqlite(): Promise<Clocked> {
  const directory = await mkdtemp(join(STORES, "queue-"));
  return {
    open: async (now) => openSqliteLeafStore(join(directory, "leaf.db"), { now }),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}

const server = redisServer();

/** Between partitions, the oldest leaf comes first only as far as they have told of it; within one it always does. */
async function clockedRedis(): Promise<Clocked> {
  const address = addressOf(server().freshUrl("partitions=1"));
  return { open: (now) => openRedisLeafStore(address, { now }), [Symbol.asyncDispose]: async () => undefined };
}

const drivers = { SQLite: clockedSqlite, Redis: clockedRedis };

test.each(Object.entries(drivers))("any sequence of steps, on two handles on %s, ends as the reference queue says", async (_, place) => {
  const steps = fc.oneof(...queueSteps, ...moreSteps);
  const sequence = fc.array(fc.tuple(fc.nat({ max: 1 }), steps), { minLength: 1, maxLength: 90, size: "max" });
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
