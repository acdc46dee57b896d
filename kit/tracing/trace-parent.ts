import { AsyncLocalStorage } from "node:async_hooks";
import { createHash } from "node:crypto";
import type { PlainHandler } from "../handler.ts";

/** Version 00 of https://www.w3.org/TR/trace-context/#traceparent-header: trace, parent span, flags. */
const TRACE_PARENT = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$/;

const current = new AsyncLocalStorage<string>();

/** A `traceparent` that says which trace something belongs to. */
export function isTraceParent(text: string): boolean {
  return TRACE_PARENT.test(text);
}

/** The id of the span that a thing has, by the thing's own id: whoever goes on with it after a crash names the same one. */
export function spanIdOf(id: string): string {
  const hash = createHash("sha256").update(id).digest("hex").slice(0, 16);
  return /^0+$/.test(hash) ? "0000000000000001" : hash;
}

/** The same trace, with another span as the parent. Empty if `traceParent` is none. */
export function withParent(traceParent: string, spanId: string): string {
  const [, trace, , flags] = TRACE_PARENT.exec(traceParent) ?? [];
  return trace === undefined ? "" : `00-${trace}-${spanId}-${flags}`;
}

/** Keeps the `traceparent` of each request for what it causes. One that is malformed counts as none, as the standard has it. */
export function traced(handler: PlainHandler): PlainHandler {
  return (request, response) => {
    const header = request.headers["traceparent"];
    if (typeof header !== "string" || !isTraceParent(header)) return handler(request, response);
    current.run(header, () => handler(request, response));
  };
}

/** That of the request that is being answered; empty: it had none. */
export function requestTraceParent(): string {
  return current.getStore() ?? "";
}
