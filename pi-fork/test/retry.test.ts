import { Code } from "@connectrpc/connect";
import type { AssistantMessage } from "@earendil-works/pi-ai";
import { HarnessError } from "@serverless-harness/kit/errors";
import { FailureReason } from "@serverless-harness/proto/leaf";
import { describe, expect, test } from "vitest";
import { isStaleEpoch, modelFailure, sandboxFailure } from "../agent/log/failure.ts";
import { afterFailedRequest } from "../agent/retry.ts";

const usage = {
  input: 0,
  output: 0,
  cacheRead: 0,
  cacheWrite: 0,
  totalTokens: 0,
  cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, total: 0 },
};

function failed(
  errorMessage: string,
  outcome: Record<string, string | number> = {},
  more: Partial<AssistantMessage> = {},
): AssistantMessage {
  return {
    role: "assistant",
    content: [],
    api: "anthropic-messages",
    provider: "anthropic",
    model: "m",
    usage,
    stopReason: "error",
    errorMessage,
    timestamp: 0,
    diagnostics: [{ type: "http_outcome", timestamp: 0, details: outcome }],
    ...more,
  };
}

const { MODEL_UNAVAILABLE, MODEL_REFUSED, BAD_INPUTS, SANDBOX_UNAVAILABLE, SANDBOX_LOST } = FailureReason;

describe("a failed answer is read as", () => {
  test.each([
    [
      "an outage",
      failed('529 {"error":{"type":"overloaded_error","message":"Overloaded"}}', { status: 529 }),
      MODEL_UNAVAILABLE,
      true,
      "answered HTTP 529: Overloaded",
    ],
    ["an outage that asks to wait", failed("429 rate limit", { status: 429, retryAfterMs: 7000 }), MODEL_UNAVAILABLE, true, "429"],
    [
      "an outage without an answer",
      failed("Connection error.", { networkError: "ECONNREFUSED" }),
      MODEL_UNAVAILABLE,
      true,
      "can't be reached (ECONNREFUSED)",
    ],
    ["a cut stream", failed("Anthropic stream ended before message_stop", { status: 200 }), MODEL_UNAVAILABLE, true, "broke off"],
    [
      "an error in the stream",
      failed('{"error":{"type":"api_error","message":"Internal server error"}}', { status: 200 }),
      MODEL_UNAVAILABLE,
      true,
      "Internal server error",
    ],
    [
      "a key that is refused",
      failed("401 invalid key sk-ant-1234 (request 5005000)", { status: 401 }),
      MODEL_UNAVAILABLE,
      false,
      "refused the credentials (HTTP 401)",
    ],
    [
      "a permission that is missing",
      failed("403 forbidden", { status: 403 }),
      MODEL_UNAVAILABLE,
      false,
      "refused the credentials (HTTP 403)",
    ],
    [
      "a model that is not there, whatever numbers the text holds",
      failed("404 no model, request 50042900", { status: 404 }),
      MODEL_UNAVAILABLE,
      false,
      "HTTP 404",
    ],
    [
      "an account without money",
      failed("429 insufficient_quota: check your billing", { status: 429 }),
      MODEL_UNAVAILABLE,
      false,
      "billing",
    ],
    [
      "a refusal",
      failed("I will not", { status: 200 }, { rawStopReason: "refusal" }),
      MODEL_REFUSED,
      false,
      "the model refused: I will not",
    ],
    [
      "a conversation that is too long",
      failed("prompt is too long: 213462 tokens > 200000 maximum", { status: 400 }),
      BAD_INPUTS,
      false,
      "start a new session",
    ],
    ["an outage of a provider that tells no status", failed("503 service unavailable", {}), MODEL_UNAVAILABLE, true, "503"],
    ["a defect of a provider that tells no status", failed("something odd", {}), MODEL_UNAVAILABLE, false, "something odd"],
  ])("%s", (_what, message, reason, retryable, text) => {
    expect(modelFailure(message)).toMatchObject({ reason, retryable, message: expect.stringContaining(text) });
  });

  test("what the cause asked to wait is passed on", () => {
    expect(modelFailure(failed("429", { status: 429, retryAfterMs: 7000 })).retryAfterMs).toBe(7000);
  });

  test("neither a key nor a book is in its message", () => {
    expect(modelFailure(failed("401 invalid key sk-ant-1234", { status: 401 })).message).not.toContain("sk-ant");
    expect(modelFailure(failed(`500 ${"x ".repeat(5000)}`, { status: 500 })).message.length).toBeLessThan(600);
  });
});

describe("a failure of the sandbox", () => {
  test.each([
    ["sandbox_unavailable", Code.Unavailable, SANDBOX_UNAVAILABLE, true],
    ["token_expired", Code.Unauthenticated, SANDBOX_UNAVAILABLE, true],
    ["unauthenticated", Code.Unauthenticated, SANDBOX_UNAVAILABLE, false],
    ["out_of_scope", Code.PermissionDenied, SANDBOX_UNAVAILABLE, false],
    ["unknown_workspace", Code.NotFound, SANDBOX_LOST, true],
    ["workspace_missing", Code.NotFound, SANDBOX_LOST, true],
  ])("%s", (reason, code, expected, retryable) => {
    expect(sandboxFailure(new HarnessError(code, reason, "why"))).toEqual({ reason: expected, retryable, message: "why" });
  });

  test("a refused owner is found in a chain of causes", () => {
    const stale = new HarnessError(Code.FailedPrecondition, "stale_epoch", "too old");
    expect(isStaleEpoch(new Error("fault", { cause: new Error("commit", { cause: stale }) }))).toBe(true);
    expect(isStaleEpoch(new Error("fault", { cause: "stale_epoch" }))).toBe(false);
    expect(isStaleEpoch(undefined)).toBe(false);
  });
});

describe("behind a request in vain", () => {
  const now = 1_000_000;
  const outage = { reason: MODEL_UNAVAILABLE, retryable: true, message: "" };
  const step = (more: Partial<Parameters<typeof afterFailedRequest>[0]>) =>
    afterFailedRequest({ failure: outage, notBeforeMs: now + 250, requests: 1, interrupted: false, ...more }, now);

  test("a short wait is sat out", () => {
    expect(step({})).toEqual({ kind: "wait", untilMs: now + 250 });
    expect(step({ failure: { ...outage, retryAfterMs: 1500 } })).toEqual({ kind: "wait", untilMs: now + 1500 });
  });

  test("a long one, and the third in a row, go back to the queue", () => {
    expect(step({ failure: { ...outage, retryAfterMs: 7000 } })).toEqual({ kind: "hand_back", notBeforeMs: now + 7000 });
    expect(step({ requests: 3 })).toEqual({ kind: "hand_back" });
    expect(step({ requests: 2 })).toMatchObject({ kind: "wait" });
  });

  test("what waiting does not mend is given up", () => {
    expect(step({ failure: { ...outage, retryable: false } })).toEqual({ kind: "give_up" });
  });

  test("an answer that was cut by its own agent's end says nothing about the model", () => {
    expect(step({ interrupted: true, failure: { ...outage, retryable: false } })).toEqual({ kind: "wait", untilMs: now + 250 });
  });

  test("an agent that takes over a wait asks first, before it judges", () => {
    expect(step({ requests: 0, failure: { ...outage, retryAfterMs: 7000 } })).toEqual({ kind: "wait", untilMs: now + 250 });
  });
});
