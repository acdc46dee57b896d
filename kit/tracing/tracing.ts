import type { Logger } from "../log.ts";

/** What a span is told of: never a prompt, an argument, a result, or a secret. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

/** How a span begins. */
export interface SpanStart {
  readonly kind: "server" | "client" | "internal" | "consumer";
  /** The `traceparent` of what it belongs to; empty: it begins a trace. */
  readonly parent: string;
  /** Its own id, if that is known beforehand: 16 characters. */
  readonly spanId?: string;
  readonly attributes?: SpanAttributes;
}

/** A piece of work, from its beginning to its end. */
export interface Span {
  /** For what belongs to it. */
  readonly traceParent: string;
  set(attributes: SpanAttributes): void;
  /** `failure`: a word for why it went wrong. Only the first end counts. */
  end(failure?: string): void;
}

/** Tells a collector what was done when. */
export interface Tracing {
  begin(name: string, start: SpanStart): Span;
  /** Send what is to be sent, within two seconds. Never rejects. */
  close(): Promise<void>;
}

/** Nobody is told anything; what came in is passed on. */
export const NO_TRACING: Tracing = {
  begin: (_name, { parent }) => ({ traceParent: parent, set: () => undefined, end: () => undefined }),
  close: () => Promise.resolve(),
};

/** Variables of which one has to be set for anything to be traced. */
export const TRACING_ENDPOINTS = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] as const;

/** Somebody is to be told, by OpenTelemetry's own variables. */
export function isTracingWanted(env: Readonly<Record<string, string | undefined>>): boolean {
  return TRACING_ENDPOINTS.some((name) => (env[name] ?? "") !== "") && env["OTEL_SDK_DISABLED"]?.toLowerCase() !== "true";
}

/** Trace by OpenTelemetry's SDK, which is loaded only if it is wanted: it takes longer to load than the rest of a brain. */
export async function openTracing(wanted: boolean, service: string, log: Logger): Promise<Tracing> {
  if (!wanted) return NO_TRACING;
  const { startTracing } = await import("./otlp.ts");
  return startTracing(service, log);
}
