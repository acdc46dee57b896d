import { Validation } from "@serverless-harness/kit/validate";
import type { Retention } from "./retention.ts";

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
