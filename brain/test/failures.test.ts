import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { FailureReason, LeafSchema, LeafSpecSchema, LimitsSchema, RetryPolicySchema } from "@serverless-harness/proto/leaf";
import { describe, expect, test } from "vitest";
import { failureOf, isStale, nextAttemptAt, toFailure } from "../leaf/failures.ts";

const NOW = 1_000_000;
const outage = { reason: FailureReason.MODEL_UNAVAILABLE, retryable: true, message: "" };

function leaf(failedAttempts: number, retry = {}, deadlineMs = 0n) {
  const spec = create(LeafSpecSchema, { retry: create(RetryPolicySchema, retry), limits: create(LimitsSchema, { deadlineMs }) });
  return create(LeafSchema, { spec, failedAttempts, createdAtMs: BigInt(NOW) });
}

describe("the next attempt", () => {
  test("comes within the doubled wait, and never later than the longest", () => {
    for (const [failed, ceiling] of [
      [0, 1000],
      [1, 2000],
      [3, 8000],
    ] as const) {
      const at = nextAttemptAt(leaf(failed), outage, 0, NOW) ?? 0;
      expect(at).toBeGreaterThanOrEqual(NOW);
      expect(at).toBeLessThanOrEqual(NOW + ceiling);
    }
    const patient = leaf(15, { maxAttempts: 20, baseDelayMs: 1000n, maxDelayMs: 5000n });
    expect(nextAttemptAt(patient, outage, 0, NOW)).toBeLessThanOrEqual(NOW + 5000);
  });

  test("comes no earlier than the cause asked for", () => {
    expect(nextAttemptAt(leaf(0), outage, NOW + 50_000, NOW)).toBe(NOW + 50_000);
  });

  test("comes when the deadline passes, at the latest, to end the leaf", () => {
    expect(nextAttemptAt(leaf(0, {}, 3000n), outage, NOW + 50_000, NOW)).toBe(NOW + 3000);
  });

  test("does not come behind the last one, nor where it would not help", () => {
    expect(nextAttemptAt(leaf(4), outage, 0, NOW)).toBeUndefined();
    expect(nextAttemptAt(leaf(3), outage, 0, NOW)).toBeDefined();
    expect(nextAttemptAt(leaf(0, { maxAttempts: 1 }), outage, 0, NOW)).toBeUndefined();
    expect(nextAttemptAt(leaf(0), { ...outage, retryable: false }, 0, NOW)).toBeUndefined();
  });
});

describe("what was thrown becomes", () => {
  const { MODEL_UNAVAILABLE, SANDBOX_UNAVAILABLE, INTERNAL } = FailureReason;
  test.each([
    ["unknown_model", Code.NotFound, MODEL_UNAVAILABLE, false],
    ["missing_api_key", Code.FailedPrecondition, MODEL_UNAVAILABLE, false],
    ["sandbox_unavailable", Code.Unavailable, SANDBOX_UNAVAILABLE, true],
    ["unauthenticated", Code.Unauthenticated, SANDBOX_UNAVAILABLE, false],
    ["out_of_scope", Code.PermissionDenied, SANDBOX_UNAVAILABLE, false],
    ["session_open", Code.FailedPrecondition, INTERNAL, true],
  ])("%s", (reason, code, expected, retryable) => {
    expect(failureOf(new HarnessError(code, reason, "why"))).toEqual({ reason: expected, retryable, message: "why" });
  });

  test("a defect whose message stays in the log", () => {
    const { message, reason } = failureOf(new Error("/home/me/secret: sk-key"));
    expect(message).not.toMatch(/secret|sk-key/);
    expect(reason).toBe(INTERNAL);
  });

  test("no failure at all, where the session has another owner", () => {
    expect(isStale(new HarnessError(Code.FailedPrecondition, "stale_epoch", ""))).toBe(true);
    expect(isStale(new HarnessError(Code.FailedPrecondition, "other", ""))).toBe(false);
  });
});

test("the wait that a cause asked for is in the record", () => {
  expect(toFailure({ ...outage, retryAfterMs: 1234.5 }).retryAfterMs).toBe(1235n);
  expect(toFailure(outage).retryAfterMs).toBe(0n);
});
