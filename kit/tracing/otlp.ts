import { type Span as OtelSpan, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { parseTraceParent, setGlobalErrorHandler } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from "@opentelemetry/resources";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  type IdGenerator,
  ParentBasedSampler,
  RandomIdGenerator,
  type Sampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import { ATTR_ERROR_TYPE, ATTR_SERVICE_NAME } from "@opentelemetry/semantic-conventions";
import type { Logger } from "../log.ts";
import type { Sampling, SpanStart, Tracing } from "./span.ts";

const KINDS = { server: SpanKind.SERVER, client: SpanKind.CLIENT, internal: SpanKind.INTERNAL, consumer: SpanKind.CONSUMER } as const;
/** A collector that is away must not hold up a process that goes. */
const CLOSE_MS = 2000;

/** Random ids, but for a span whose id is known beforehand. */
class Ids implements IdGenerator {
  readonly #random = new RandomIdGenerator();
  next: string | undefined;

  generateTraceId(): string {
    return this.#random.generateTraceId();
  }

  generateSpanId(): string {
    return this.next ?? this.#random.generateSpanId();
  }
}

/** Send spans by OTLP to where OpenTelemetry's variables say. A collector that is away costs the spans, and a line in the log. */
export function startTracing(sampling: Sampling, service: string, log: Logger): Tracing {
  let told = false;
  setGlobalErrorHandler((error) => {
    log[told ? "debug" : "warn"]({ err: error }, "spans could not be sent to the collector: they are lost");
    told = true;
  });
  const ids = new Ids();
  const resource = defaultResource()
    .merge(resourceFromAttributes({ [ATTR_SERVICE_NAME]: service }))
    .merge(detectResources({ detectors: [envDetector] }));
  const processor = new BatchSpanProcessor({ exporter: new OTLPTraceExporter() });
  const provider = new TracerProvider({ resource, sampler: samplerOf(sampling), idGenerator: ids, spanProcessors: [processor] });
  const tracer = provider.getTracer("serverless-harness");
  return {
    begin: (name, start) => {
      ids.next = start.spanId;
      const span = tracer.startSpan(name, { kind: KINDS[start.kind], attributes: { ...start.attributes } }, contextOf(start));
      ids.next = undefined;
      return {
        traceParent: traceParentOf(span),
        set: (attributes) => void span.setAttributes({ ...attributes }),
        end: (failure) => {
          if (failure !== undefined && span.isRecording()) {
            span.setAttribute(ATTR_ERROR_TYPE, failure);
            span.setStatus({ code: SpanStatusCode.ERROR });
          }
          if (span.isRecording()) span.end();
        },
      };
    },
    close: async () => {
      const late = new Promise<void>((resolve) => setTimeout(resolve, CLOSE_MS).unref());
      const sent = provider.shutdown().catch((error: unknown) => log.warn({ err: error }, "the last spans could not be sent"));
      await Promise.race([sent, late]);
    },
  };
}

function samplerOf({ sampler, ratio }: Sampling): Sampler {
  const [, parentBased, root] = /^(parentbased_)?(.*)$/.exec(sampler) ?? [];
  const own =
    root === "always_on" ? new AlwaysOnSampler() : root === "always_off" ? new AlwaysOffSampler() : new TraceIdRatioBasedSampler(ratio);
  return parentBased === undefined ? own : new ParentBasedSampler({ root: own });
}

function contextOf({ parent }: SpanStart) {
  const spanContext = parseTraceParent(parent);
  return spanContext === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, { ...spanContext, isRemote: true });
}

function traceParentOf(span: OtelSpan): string {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`;
}
