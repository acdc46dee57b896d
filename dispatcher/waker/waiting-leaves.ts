import { create } from "@bufbuild/protobuf";
import { WorkerSchema } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "@serverless-harness/session";

/** Leaves that are told in one go; the others are told in the next. */
const AT_ONCE = 100;
const LEASE_MS = 30_000;
/** A leaf that is told again and again waits twice as long each time, so that its log stays short. */
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 300_000;

/** Who takes leaves up for a moment, by name. */
const DISPATCHER = create(WorkerSchema, { name: "dispatcher", pid: BigInt(process.pid) });

/**
 * Write into the log of each leaf that is ready why nobody works on it, and let it wait for a while. It burns no attempt: once brains work, the
 * leaf goes on.
 */
export async function tellWaitingLeaves(store: LeafStore, note: string): Promise<void> {
  for (let told = 0; told < AT_ONCE; told++) {
    const claim = await store.claim(DISPATCHER, LEASE_MS);
    if (claim === undefined) return;
    const waitMs = Math.min(FIRST_WAIT_MS * 2 ** Math.min(claim.leaf.claims, 20), LONGEST_WAIT_MS);
    await store.suspend(claim, { notBeforeMs: Date.now() + waitMs }, note, []);
  }
}
