import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Fence } from "./claim.ts";
import { sessionKey } from "./leaf.ts";

/** The error for an owner that is no longer one. */
export function staleEpoch(fence: Fence): HarnessError {
  const text = `epoch ${fence.epoch} no longer owns the session: a newer owner took it over, or this claim was ended; stop working on it`;
  return new HarnessError(Code.FailedPrecondition, "stale_epoch", text, {
    metadata: { session: sessionKey(fence), epoch: String(fence.epoch) },
  });
}

/** The error for a session that a spec needs and that is not there. */
export function sessionNotFound(): HarnessError {
  const text = "no leaf ever ran on this session: check its id, or leave session_must_exist or fork unset to begin a new one";
  return new HarnessError(Code.NotFound, "session_not_found", text);
}

/** The error for a leaf id that nobody was ever given. */
export function leafNotFound(): HarnessError {
  return new HarnessError(Code.NotFound, "leaf_not_found", "there is no leaf of this id: check it");
}

/** The error for a handle that was closed. */
export function storeClosed(): HarnessError {
  return new HarnessError(Code.Unavailable, "store_closed", "the leaf store was closed in this process");
}

/** The error for a store that is no longer the one that was opened. `what` happened to its database. */
export function storeLost(what: string): HarnessError {
  const text =
    `the leaf store's database ${what} while the system ran, so nothing is taken any more: put back what was there, or stop the ` +
    "system and start it with another store; leaves that were acknowledged are in the one that is gone";
  return new HarnessError(Code.DataLoss, "store_lost", text);
}

/** The error for a submit whose idempotency key stands for a leaf that is no longer kept. */
export function leafExpired(): HarnessError {
  const text = "the leaf of this idempotency key ended and is no longer kept: choose another key to run the spec again";
  return new HarnessError(Code.FailedPrecondition, "leaf_expired", text);
}

/** The error for a step that a leaf which is over can't take. */
export function leafEnded(): HarnessError {
  return new HarnessError(Code.FailedPrecondition, "leaf_ended", "the leaf is over: it takes neither decisions nor messages any more");
}

/** The error for a step that a leaf can't take any more, since its deadline has passed. */
export function deadlinePassed(): HarnessError {
  const text = "the leaf's deadline has passed, so it ends: it takes neither decisions nor messages any more";
  return new HarnessError(Code.FailedPrecondition, "deadline_passed", text);
}

/** The error for a redrive of a leaf that ended in another way than failed. */
export function leafNotFailed(): HarnessError {
  return new HarnessError(Code.FailedPrecondition, "leaf_not_failed", "only a leaf that failed can be redriven: submit a new one");
}

/** The error for a gate that the leaf never opened. */
export function gateNotFound(): HarnessError {
  return new HarnessError(Code.FailedPrecondition, "gate_not_found", "the leaf has no gate of this id: read its open gates");
}

/** The error for a gate's id that came with other arguments before. */
export function gateReused(): HarnessError {
  const text = "a gate of this id was opened for a call with other arguments: name this gate otherwise";
  return new HarnessError(Code.AlreadyExists, "gate_reused", text);
}

/** The error for a gate that has another decision. */
export function gateDecided(): HarnessError {
  return new HarnessError(
    Code.AlreadyExists,
    "gate_decided",
    "another decision (its kind, feedback or person differs) was recorded first, and stays",
  );
}

/** The error for one open gate too many. */
export function tooManyGates(limit: number): HarnessError {
  const text = `a leaf has at most ${limit} open gates: decide some of them first`;
  return new HarnessError(Code.ResourceExhausted, "too_many_gates", text, { metadata: { limit: String(limit) } });
}

/** The error for a message's id that came with other words before. */
export function messageIdReused(): HarnessError {
  const text = "this message id was used for another message to the leaf: send the same again, or choose another id";
  return new HarnessError(Code.AlreadyExists, "message_id_reused", text);
}

/** The error for one waiting message too many. */
export function tooManyMessages(limit: number): HarnessError {
  const text = `at most ${limit} messages wait in a leaf: send this one when the agent has read some of them`;
  return new HarnessError(Code.ResourceExhausted, "too_many_messages", text, { metadata: { limit: String(limit) } });
}

/** The error for a fork onto a session that is there already. */
export function sessionExistsAlready(): HarnessError {
  const text = "a fork begins a new session, and this one exists: choose another session_id, or leave it empty";
  return new HarnessError(Code.FailedPrecondition, "session_exists", text);
}

/** The error for a schedule more than a tenant may have. */
export function tooManySchedules(most: number): HarnessError {
  const text = `the tenant has ${most} schedules, as many as it may have: delete one that is not needed`;
  return new HarnessError(Code.ResourceExhausted, "too_many_schedules", text, { metadata: { limit: String(most) } });
}

/** The error for a token that is not there. */
export function tokenNotFound(): HarnessError {
  return new HarnessError(Code.NotFound, "token_not_found", "there is no token of this id, or it expired: check it");
}

/** The error for a schedule's id that another schedule has. */
export function scheduleExists(): HarnessError {
  const text = "the tenant has another schedule of this id: delete that one first, or choose another id";
  return new HarnessError(Code.AlreadyExists, "schedule_exists", text);
}
