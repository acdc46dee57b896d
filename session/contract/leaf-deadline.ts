import { create } from "@bufbuild/protobuf";
import { Validation } from "@serverless-harness/kit/validate";
import { type Failure, FailureReason, FailureSchema, type Leaf, type LeafSpec } from "@serverless-harness/proto/leaf";

/** When a leaf has to be over, milliseconds since the Unix epoch; `undefined` where it may take as long as it takes. */
export function deadlineOf({ spec, createdAtMs }: Pick<Leaf, "spec" | "createdAtMs">): number | undefined {
  return spec === undefined ? undefined : deadlineFrom(spec, Number(createdAtMs));
}

/** The same of a spec that is submitted at `createdMs`. */
export function deadlineFrom(spec: LeafSpec, createdMs: number): number | undefined {
  const allowedMs = spec.limits?.deadlineMs ?? 0n;
  return allowedMs > 0n ? Math.floor(createdMs) + Number(allowedMs) : undefined;
}

/** A deadline is there, and over at `nowMs`. */
export function hasPassed(deadlineMs: number | null | undefined, nowMs: number): boolean {
  return deadlineMs !== null && deadlineMs !== undefined && deadlineMs <= nowMs;
}

/** Why a leaf ended that nobody held when its deadline passed: one that nobody had begun, or one that waited. */
export const OVERDUE: Readonly<Record<"queued" | "waiting", Failure>> = {
  queued: overdue("the deadline passed before anybody began the leaf: nothing of it ran"),
  waiting: overdue("the deadline passed while the leaf waited, and no brain was there to end it: commands that it left running may go on"),
};

function overdue(message: string): Failure {
  return create(FailureSchema, { reason: FailureReason.DEADLINE_EXCEEDED, retryable: false, message });
}

/** Throw INVALID_ARGUMENT that names what is out of range. */
export function checkEndOverdue(graceMs: number, limit: number): void {
  const validation = new Validation();
  validation.range("grace_ms", graceMs, 0, Number.MAX_SAFE_INTEGER);
  validation.range("limit", limit, 1, 1000);
  validation.done();
}
