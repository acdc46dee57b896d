import type { Claim, LeafStore } from "@serverless-harness/session";
import type { Door } from "./door.ts";

const PIECE = {
  event: {
    case: "textDelta" as const,
    value: { $typeName: "harness.leaf.v1.TextDelta" as const, text: "some ten tokens of text", thinking: false },
  },
};

/**
 * Append an event to each leaf in turn, so many times, and wait until everybody has it. Milliseconds from when the append is durable to when each
 * watcher has it in hands; below 0 if it was told before that.
 */
export async function watcherDelays(door: Door, rounds: number): Promise<number[]> {
  const delays: number[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const claim of door.claims) {
      const seq = 3 + round;
      const coming = door.watchersOf(claim).map((watcher) => watcher.seen(seq));
      await door.store.append(claim, [PIECE]);
      const appended = performance.now();
      for (const at of await Promise.all(coming)) delays.push(Math.max(0, at - appended));
    }
  }
  return delays;
}

/** The same for one follower of the store itself, by a handle of its own. `from`: number of the leaf's last event. */
export async function followerDelays(store: LeafStore, follower: LeafStore, claim: Claim, from: number, count: number): Promise<number[]> {
  const delays: number[] = [];
  const leaving = new AbortController();
  const following = follower.follow(claim.leaf.leafId, BigInt(from), leaving.signal)[Symbol.asyncIterator]();
  for (let i = 0; i < count; i++) {
    const coming = following.next().then(() => performance.now());
    await store.append(claim, [PIECE]);
    const appended = performance.now();
    delays.push(Math.max(0, (await coming) - appended));
  }
  leaving.abort();
  await following.next();
  return delays;
}
