/** What is traced, without any of the code that sends it: that is loaded only if something is. */

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

/** The samplers of OpenTelemetry's specification, which the SDK does not choose by itself. */
export const SAMPLERS = [
  "always_on",
  "always_off",
  "traceidratio",
  "parentbased_always_on",
  "parentbased_always_off",
  "parentbased_traceidratio",
] as const;

/** Which traces are sent: `ratio`, from 0 to 1, is for the samplers that have one. */
export interface Sampling {
  readonly sampler: (typeof SAMPLERS)[number];
  readonly ratio: number;
}
