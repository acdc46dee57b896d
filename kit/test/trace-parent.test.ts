import { once } from "node:events";
import { createServer } from "node:http";
import { expect, onTestFinished, test } from "vitest";
import type { PlainHandler } from "../handler.ts";
import { isTraceParent, requestTraceParent, spanIdOf, traced, withParent } from "../tracing/trace-parent.ts";
import { isTracingWanted } from "../tracing/tracing.ts";

const GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

test("a traceparent is one of version 00, with a trace and a parent", () => {
  expect(isTraceParent(GOOD)).toBe(true);
  for (const bad of [
    "",
    "00",
    GOOD.toUpperCase(),
    `${GOOD}-`,
    GOOD.replace("00-", "01-"),
    `00-${"0".repeat(32)}-b7ad6b7169203331-01`,
    `00-${"a".repeat(32)}-${"0".repeat(16)}-01`,
  ])
    expect(isTraceParent(bad)).toBe(false);
});

test("a thing's span has the same id wherever it is named, and another thing's another", () => {
  expect(spanIdOf("call_1")).toMatch(/^[0-9a-f]{16}$/);
  expect(spanIdOf("call_1")).toBe(spanIdOf("call_1"));
  expect(spanIdOf("call_1")).not.toBe(spanIdOf("call_1.1"));
  expect(withParent(GOOD, "00f067aa0ba902b7")).toBe("00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01");
  expect(withParent("", "00f067aa0ba902b7")).toBe("");
});

test("each request keeps its own, and one that is malformed counts as none", async () => {
  const seen: string[] = [];
  const handler: PlainHandler = (_request, response) => {
    setImmediate(() => {
      seen.push(requestTraceParent());
      response.end();
    });
  };
  const server = createServer(traced(handler)).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const bound = server.address();
  for (const traceparent of [GOOD, "nonsense", ""])
    await fetch(`http://127.0.0.1:${typeof bound === "object" ? bound?.port : 0}`, {
      headers: { connection: "close", ...(traceparent === "" ? {} : { traceparent }) },
    });
  expect(seen).toEqual([GOOD, "", ""]);
  expect(requestTraceParent()).toBe("");
});

test("tracing is wanted where an endpoint is set, unless it is switched off", () => {
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4318" };
  expect(isTracingWanted({})).toBe(false);
  expect(isTracingWanted({ OTEL_EXPORTER_OTLP_ENDPOINT: "" })).toBe(false);
  expect(isTracingWanted(endpoint)).toBe(true);
  expect(isTracingWanted({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://127.0.0.1:4318/v1/traces" })).toBe(true);
  expect(isTracingWanted({ ...endpoint, OTEL_SDK_DISABLED: "true" })).toBe(false);
});
