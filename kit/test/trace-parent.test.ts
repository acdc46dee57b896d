import { once } from "node:events";
import { createServer } from "node:http";
import { expect, onTestFinished, test } from "vitest";
import { EnvReader } from "../env.ts";
import type { PlainHandler } from "../handler.ts";
import { isTraceParent, requestTraceParent, spanIdOf, traced, withParent } from "../tracing/trace-parent.ts";
import { readTracing } from "../tracing/tracing.ts";

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

test("tracing is wanted if an endpoint is set, unless it is switched off", () => {
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4318" };
  const all = { sampler: "parentbased_always_on", ratio: 1 };
  expect(readTracing(new EnvReader({}))).toBeUndefined();
  expect(readTracing(new EnvReader({ OTEL_EXPORTER_OTLP_ENDPOINT: "" }))).toBeUndefined();
  expect(readTracing(new EnvReader(endpoint))).toEqual(all);
  expect(readTracing(new EnvReader({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://127.0.0.1:4318/v1/traces" }))).toEqual(all);
  expect(readTracing(new EnvReader({ ...endpoint, OTEL_SDK_DISABLED: "true" }))).toBeUndefined();
});

test("a sampler is one of OpenTelemetry's, with a ratio from 0 to 1 if it has one", () => {
  const read = (added: Readonly<Record<string, string>>) => {
    const env = new EnvReader({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4318", ...added });
    return env.done(readTracing(env));
  };
  expect(read({ OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: "0.25" })).toEqual({ sampler: "traceidratio", ratio: 0.25 });
  expect(read({ OTEL_TRACES_SAMPLER: "always_off", OTEL_TRACES_SAMPLER_ARG: "7" })).toEqual({ sampler: "always_off", ratio: 1 });
  expect(() => read({ OTEL_TRACES_SAMPLER: "sometimes" })).toThrow('OTEL_TRACES_SAMPLER is "sometimes": it must be one of always_on, ');
  const tooMuch = { OTEL_TRACES_SAMPLER: "parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG: "2" };
  expect(() => read(tooMuch)).toThrow("OTEL_TRACES_SAMPLER_ARG");
});
