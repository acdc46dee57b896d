import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { codeName, fromConnectError, HarnessError, invalidArgument, toConnectError } from "../errors.ts";

describe("an error that crosses the wire", () => {
  it("keeps its code, reason, message, fields, metadata and retry delay", () => {
    const sent = new HarnessError(Code.ResourceExhausted, "limit_reached", "too many", {
      violations: [{ field: "spec.prompt", description: "too long" }],
      metadata: { limit: "64" },
      retryAfterMs: 2500,
    });
    const got = fromConnectError(toConnectError(sent));
    expect(got).toMatchObject({
      code: sent.code,
      reason: sent.reason,
      message: sent.message,
      retryAfterMs: 2500,
      metadata: { limit: "64" },
    });
    expect(got.violations).toMatchObject(sent.violations);
  });

  it("tells the client nothing of a defect", () => {
    const translated = toConnectError(new Error("password is hunter2 in /home/me"));
    expect(translated.code).toBe(Code.Internal);
    expect(translated.message).not.toMatch(/hunter2|home/);
    expect(translated.cause).toBeInstanceOf(Error);
  });

  it("passes what is translated already as it is", () => {
    const error = toConnectError(new HarnessError(Code.Aborted, "gone", "gone"));
    expect(toConnectError(error)).toBe(error);
  });

  it("gets an ErrorInfo, if it is the library's own", () => {
    const told = (error: ConnectError): string => fromConnectError(toConnectError(error)).reason;
    expect(told(new ConnectError("gone", Code.Aborted))).toBe("aborted");
    expect(told(new ConnectError("no message", Code.InvalidArgument))).toBe("malformed_message");
    expect(told(new ConnectError("too large", Code.ResourceExhausted))).toBe("message_too_large");
    expect(told(toConnectError(new Error("a defect")))).toBe("internal");
  });

  it("lists every bad field in its message too, for those who only see that", () => {
    const error = invalidArgument([
      { field: "a", description: "must be 1" },
      { field: "b", description: "must be 2" },
    ]);
    expect(error.message).toBe("a: must be 1; b: must be 2");
  });

  it("gets a reason from its code where the server gave none", () => {
    expect(fromConnectError(new ConnectError("x", Code.DeadlineExceeded)).reason).toBe("deadline_exceeded");
    expect(codeName(Code.FailedPrecondition)).toBe("failed_precondition");
  });
});
