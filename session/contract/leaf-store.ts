import type { Failure, Leaf, LeafEvent, LeafResult, LeafSpec, LeafState, Worker } from "@serverless-harness/proto/leaf";
import type { Accounts, Charge } from "./accounts.ts";
import type { Claim, NewEvent } from "./claim.ts";
import type { Duties } from "./duties.ts";
import type { Files } from "./files.ts";
import type { LeafQuery } from "./leaf.ts";
import type { Messages, Wishes } from "./messages.ts";
import type { Notices } from "./notices.ts";
import type { Retained } from "./retention.ts";
import type { Sandboxes } from "./sandboxes.ts";
import type { Schedules } from "./schedules.ts";
import type { Tenants } from "./tenants.ts";
import type { Tokens } from "./tokens.ts";
import type { WaitingLeaves } from "./waiting.ts";

/** A leaf to be submitted. */
export interface NewLeaf {
  /** Valid, with tenant and kind filled in; an empty session id asks for a new session. */
  readonly spec: LeafSpec;
  /** Empty: none. */
  readonly idempotencyKey: string;
  /** Somebody outside is to be told when a gate of it is opened, and of its end: each is a notice. Default false. */
  readonly notify?: boolean;
  /** Whom it is counted for besides its tenant, and under which limits. Default: for its tenant alone, without a limit. */
  readonly charge?: Charge;
}

/** How a claim ends for good. */
export type Outcome =
  | { readonly state: typeof LeafState.DONE; readonly result: LeafResult }
  | { readonly state: typeof LeafState.FAILED; readonly failure: Failure }
  | { readonly state: typeof LeafState.CANCELLED | typeof LeafState.ABORTED };

/** What waits and what runs. */
export interface Backlog {
  /** Leaves that can be claimed this moment: queued, due, or with an expired lease, on a session that nothing else runs on, within its tenant's cap. */
  readonly ready: number;
  /** Leaves under a live lease. */
  readonly running: number;
  /** When the next one becomes ready by time alone (a retry, a lease's end), milliseconds since the Unix epoch. */
  readonly nextDueMs?: number;
}

/**
 * Leaf records, their events and the queue: all that the dispatcher and brains share. Any number of processes use one store at
 * once. Every method is atomic, and durable when it returns.
 *
 * Methods that take a {@link Claim} throw a HarnessError with reason `stale_epoch` (FAILED_PRECONDITION) and change nothing if
 * the session has a newer owner or the claim was ended.
 */
export interface LeafStore extends WaitingLeaves, Messages, Retained, Tenants, Schedules, Tokens, Duties, Files, Notices, Accounts {
  /** The pool of sandboxes, and where each session is in it. */
  readonly sandboxes: Sandboxes;

  /**
   * Write a leaf's record, its first event and its place in the queue. A known idempotency key with the same spec returns the
   * first leaf, with `created` false; with another spec it throws ALREADY_EXISTS `idempotency_key_reused`. NOT_FOUND
   * `session_not_found` if the spec says that the session must exist and it does not, FAILED_PRECONDITION `session_exists` if it forks
   * another one and its own exists, RESOURCE_EXHAUSTED `limit_reached` if a limit of `charge` leaves no room. That the other one exists is the caller's to look at.
   */
  submit(leaf: NewLeaf): Promise<{ leaf: Leaf; created: boolean }>;
  /** A leaf's record, or `undefined`. */
  get(leafId: string): Promise<Leaf | undefined>;
  /** Leaves, newest first. `nextPageToken` is absent on the last page. */
  list(query: LeafQuery): Promise<{ leaves: Leaf[]; nextPageToken?: string }>;
  /** A leaf was ever submitted on this session. */
  sessionExists(tenant: string, sessionId: string): Promise<boolean>;

  /**
   * Take the leaf that is next, for `leaseMs`: tenants take turns by their weights and under their caps; of a tenant's leaves, the one of highest
   * priority is next, then the oldest; its session gets a new epoch, and the event of the new state is appended. The epoch
   * is the last one + 1 or the store's clock in milliseconds, whichever is more, so that none ever comes back: not with a failover that lost
   * the last claims, a restored backup, or a session that was removed and made again. At most one leaf at a time runs on a session, in order
   * of submission. `undefined` if nothing is ready.
   */
  claim(worker: Worker, leaseMs: number): Promise<Claim | undefined>;
  /** Prolong the lease; tells what people want of the leaf. */
  heartbeat(claim: Claim, leaseMs: number): Promise<Wishes>;
  /** Append events in order; an event of kind `usage` also becomes the record's usage. */
  append(claim: Claim, events: readonly NewEvent[]): Promise<void>;
  /** End the leaf: `events`, then the terminal one. */
  finish(claim: Claim, outcome: Outcome, events: readonly NewEvent[]): Promise<void>;
  /** The attempt failed: burns one, and the leaf is ready again at `notBeforeMs`. */
  retry(claim: Claim, failure: Failure, notBeforeMs: number, events: readonly NewEvent[]): Promise<void>;
  /** Hand the leaf back, ready at once, burning no attempt: a brain that drains. */
  release(claim: Claim, note: string): Promise<void>;
  /** End the leases of a worker that is known to be dead, so that nobody waits for them. Returns the number of leaves. */
  releaseWorker(workerName: string, note: string): Promise<number>;

  /** Events after `afterSeq`, in order, at most `limit`. */
  events(leafId: string, afterSeq: bigint, limit: number): Promise<LeafEvent[]>;
  /**
   * Events after `afterSeq`, in order and without a gap, then live; ends after the terminal one, or when `signal` aborts
   * (without an error). Any number of followers share one watch on the store.
   */
  follow(leafId: string, afterSeq: bigint, signal: AbortSignal): AsyncIterable<LeafEvent>;
  /** What waits and what runs. Cheap enough to ask every second. */
  backlog(): Promise<Backlog>;
  /** Resolves when something may have become ready, at the latest after `timeoutMs`, or when `signal` aborts. Never rejects. */
  waitForWork(timeoutMs: number, signal: AbortSignal): Promise<void>;
  /** Resolves when nothing is ready and nothing runs, at the latest after `timeoutMs`, or when `signal` aborts. Never rejects. */
  waitForIdle(timeoutMs: number, signal: AbortSignal): Promise<void>;
  /** Release files and watches; followers end. Idempotent. */
  close(): Promise<void>;
}
