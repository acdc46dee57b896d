import type { EnvReader } from "../env.ts";
import type { Logger } from "../log.ts";
import { NO_TRACING, SAMPLERS, type Sampling, type Tracing } from "./span.ts";

export { NO_TRACING, type Sampling, type Span, type SpanAttributes, type SpanStart, type Tracing } from "./span.ts";

/** Variables of which one has to be set for anything to be traced. */
export const TRACING_ENDPOINTS = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] as const;

/** What is to be traced, by OpenTelemetry's own variables; `undefined`: nothing. */
export function readTracing(env: EnvReader): Sampling | undefined {
  const isWanted = TRACING_ENDPOINTS.some((name) => env.optional(name) !== undefined);
  if (!isWanted || env.optional("OTEL_SDK_DISABLED")?.toLowerCase() === "true") return undefined;
  const sampler = env.choice("OTEL_TRACES_SAMPLER", "parentbased_always_on", SAMPLERS);
  return { sampler, ratio: sampler.endsWith("ratio") ? env.number("OTEL_TRACES_SAMPLER_ARG", 1, 0, 1) : 1 };
}

/** Trace by OpenTelemetry's SDK, which is loaded only if it is wanted: it takes longer to load than the rest of a brain. */
export async function openTracing(sampling: Sampling | undefined, service: string, log: Logger): Promise<Tracing> {
  if (sampling === undefined) return NO_TRACING;
  const { startTracing } = await import("./otlp.ts");
  return startTracing(sampling, service, log);
}
