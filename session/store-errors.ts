import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { sessionKey } from "./leaf-state.ts";
import type { Fence } from "./leaf-store.ts";

/** The error for an owner that is no longer one. */
export function staleEpoch(fence: Fence): HarnessError {
  const text = `epoch ${fence.epoch} no longer owns the session: a newer owner took it over, or this claim was ended; stop working on it`;
  return new HarnessError(Code.FailedPrecondition, "stale_epoch", text, {
    metadata: { session: sessionKey(fence), epoch: String(fence.epoch) },
  });
}

/** The error for a spec that says that its session must exist. */
export function sessionNotFound(): HarnessError {
  const text = "no leaf ever ran on this session: check its id, or leave session_must_exist unset to make it";
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
