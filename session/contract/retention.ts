import { Validation } from "@serverless-harness/kit/validate";
import type { Tombstone } from "@serverless-harness/proto/leaf";

/** How long what is over is kept, in milliseconds from its end. */
export interface Retention {
  /** Leaves: record, events, place in the listings. */
  readonly leafMs: number;
  /** From then on, their tombstones and idempotency keys, which still keep a repeated submit from running a second time. */
  readonly tombstoneMs: number;
}

/** A session that has no leaf any more. */
export interface IdleSession {
  readonly tenant: string;
  readonly sessionId: string;
  /** That of its last owner; the time in milliseconds at which that one came, or a little more. */
  readonly epoch: bigint;
}

/** What is removed, and what is left of it. */
export interface Retained {
  /**
   * Remove what is over for longer than it is to be kept, at most `limit` (1 to 1000) leaves and as many tombstones. Returns how many, of that of which there were more; call
   * it again while that is `limit`. Any number of processes may at once. Followers of a removed leaf end.
   */
  sweep(retention: Retention, limit: number): Promise<number>;
  /** What is left of a leaf that was removed; `undefined` if the leaf is there, unknown, or gone for longer. */
  tombstone(leafId: string): Promise<Tombstone | undefined>;
  /**
   * Sessions that have no leaf any more, and whose last owner came more than `idleMs` ago: at most `limit` (1 to 1000), without the first `skip` of
   * them. They are listed until they are removed, so that what else there is of them can go before.
   */
  idleSessions(idleMs: number, limit: number, skip: number): Promise<IdleSession[]>;
  /**
   * Forget a session that has no leaf any more. Its epoch never comes back: who held it then stays refused. False if it has leaves, has had
   * another owner since, or is unknown. All else that there is of it has to be removed before.
   */
  removeSession(session: IdleSession): Promise<boolean>;
}

/** Throw INVALID_ARGUMENT that names what is out of range of a look for idle sessions. */
export function checkIdle(idleMs: number, limit: number, skip: number): void {
  const validation = new Validation();
  validation.range("idle_ms", idleMs, -Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
  validation.range("limit", limit, 1, 1000);
  validation.range("skip", skip, 0, Number.MAX_SAFE_INTEGER);
  validation.done();
}

/** Throw INVALID_ARGUMENT that names what is out of range. */
export function checkSweep({ leafMs, tombstoneMs }: Retention, limit: number): void {
  const validation = new Validation();
  validation.range("leaf_ms", leafMs, 0, Number.MAX_SAFE_INTEGER);
  validation.range("tombstone_ms", tombstoneMs, 0, Number.MAX_SAFE_INTEGER);
  validation.range("limit", limit, 1, 1000);
  validation.done();
}
