import { Validation } from "@serverless-harness/kit/validate";
import type { Gate, Leaf } from "@serverless-harness/proto/leaf";
import type { Claim, NewEvent } from "./claim.ts";
import { MAX_OPEN_GATES, type NewDecision, type NewGate } from "./gates.ts";

/** What a leaf that is let go of waits for: whichever comes first makes it ready. With none of them, it is ready at once. */
export interface Wait {
  /** A decision on any of these gates of the leaf, or the deadline of one; the leaf is AWAITING_APPROVAL until then, otherwise SUSPENDED. */
  readonly gateIds?: readonly string[];
  /** A {@link WaitingLeaves.wake} with this key: 1 to 128 characters that nobody can guess, used once. */
  readonly wakeKey?: string;
  /** A time, milliseconds since the Unix epoch by the store's clock. */
  readonly notBeforeMs?: number;
}

/** Leaves that wait, and what ends their waiting. Each method is one step, as those of the leaf store. */
export interface WaitingLeaves {
  /**
   * Let go of a leaf that waits: burns no attempt, ends the claim. The leaf's own deadline ends every wait. If what it waits for has happened already (a gate was decided, the
   * key was used for waking, the time is over) it is ready at once, so that nothing is lost between looking and suspending.
   */
  suspend(claim: Claim, wait: Wait, note: string, events: readonly NewEvent[]): Promise<void>;
  /**
   * End a leaf's wait for `wakeKey`. True: it is ready, or, if it is not suspended yet, will be as soon as it waits for this key. False
   * if nothing waits for it (any more): the leaf is unknown or over, or the key was used. Never an error: it is a hint.
   */
  wake(leafId: string, wakeKey: string): Promise<boolean>;
  /**
   * End the wait for a key of the leaf that is a session's turn, since nobody will wake it: what it waits for is gone. `note` says why. False if the
   * session has no leaf that waits for a key.
   */
  rouse(tenant: string, sessionId: string, note: string): Promise<boolean>;

  /**
   * Ask a human. Returns the gate as it stands: with the decision if there is one, which is the gate's own once the deadline is over. The
   * same gate again changes nothing; one of the same id with other arguments is ALREADY_EXISTS `gate_reused`, the 33rd open one is
   * RESOURCE_EXHAUSTED `too_many_gates`.
   */
  openGate(claim: Claim, gate: NewGate): Promise<Gate>;
  /**
   * Answer a gate; a leaf that waits for it is ready then. The first decision wins: the same again changes nothing, another one is
   * ALREADY_EXISTS `gate_decided`. NOT_FOUND `leaf_not_found`; FAILED_PRECONDITION `gate_not_found` if the leaf has no such gate,
   * `leaf_ended` if it is over, `deadline_passed` if it has to be.
   */
  decide(leafId: string, gateId: string, decision: NewDecision): Promise<Gate>;

  /**
   * Ask for a leaf's end. One that was never claimed is CANCELLED at once; one that runs is told by its heartbeat; one that waits becomes ready,
   * so that who claims it ends what it left running. Idempotent; a leaf that is over stays as it is. NOT_FOUND `leaf_not_found`.
   */
  cancel(leafId: string, requestedBy: string): Promise<Leaf>;
  /**
   * Queue a failed leaf again, with no failed attempts: from where it stopped, or from the start (`restarts` grows, its worker begins again). On its
   * session it comes before those that were submitted after it. One that is under way already stays as it is. NOT_FOUND `leaf_not_found`;
   * FAILED_PRECONDITION `leaf_not_failed` if it is over in another way.
   */
  redrive(leafId: string, fromStart: boolean): Promise<Leaf>;
  /**
   * End leaves whose deadline has passed and that nobody holds, as FAILED `deadline_exceeded`: one in the queue that nobody began at once, any other
   * when nobody took it up to end it within `graceMs` of its deadline. At most `limit` (1 to 1000). Returns how many; call it again while that is
   * `limit`. Any number of processes may at once.
   */
  endOverdue(graceMs: number, limit: number): Promise<number>;
}

/** Wake keys of one leaf that are remembered, sent ahead or used; beyond that the oldest is forgotten. */
export const MAX_WAKE_KEYS = 64;

/** Characters of a wake key. */
const KEY_CHARACTERS = 128;

/** Throw INVALID_ARGUMENT that names every field of a wait that is out of its limits. */
export function checkWait({ gateIds = [], wakeKey, notBeforeMs = 0 }: Wait): void {
  const validation = new Validation();
  validation.check("gate_ids", gateIds.length <= MAX_OPEN_GATES, `must be at most ${MAX_OPEN_GATES}`);
  if (wakeKey !== undefined) validation.characters("wake_key", wakeKey, 1, KEY_CHARACTERS);
  validation.range("not_before_ms", notBeforeMs, 0, Number.MAX_SAFE_INTEGER);
  validation.done();
}

/** A text that can be a wake key at all. */
export function isWakeKey(text: string): boolean {
  return text !== "" && [...text].length <= KEY_CHARACTERS;
}

/** Throw INVALID_ARGUMENT if the name of who asks for a cancel is too long, or steers whoever shows it. */
export function checkRequestedBy(requestedBy: string): void {
  const validation = new Validation();
  validation.characters("requested_by", requestedBy, 0, 256);
  validation.line("requested_by", requestedBy);
  validation.done();
}

/** Nothing is waited for. */
export function isEmptyWait({ gateIds = [], wakeKey, notBeforeMs }: Wait): boolean {
  return gateIds.length === 0 && wakeKey === undefined && notBeforeMs === undefined;
}
