import { toJson } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { type LeafEvent, LeafEventSchema } from "@serverless-harness/proto/leaf";
import type { Made } from "./reply.ts";

/** Why a stream of events ended. */
export interface End {
  /** `leaf_over`, `leaf_removed`, `shutting_down`, or an error's reason. */
  readonly reason: string;
  /** The last event that was sent, or what the reader asked to begin after: a reader goes on from here. */
  readonly afterSeq: bigint;
  /** What to do, if it was an error. */
  readonly message?: string;
}

/** How events are written down. */
export interface EventFormat {
  readonly contentType: string;
  /** Sent at once. */
  readonly start: () => string;
  /** Names what was made for this stream, if it was: sent before the first event. */
  readonly made: (made: Made) => string;
  readonly event: (event: LeafEvent) => string;
  /** Says nothing, for proxies that cut a stream that is silent. */
  readonly keepAlive: string;
  readonly end: (end: End) => string;
}

/** How long a browser's EventSource waits before it connects again, in milliseconds: spread, as a dispatcher that goes down is left by all at once. */
const RETRY_MS = 1000;
const RETRY_SPREAD_MS = 2000;

const SERVER_SENT: EventFormat = {
  contentType: "text/event-stream",
  start: () => `retry: ${RETRY_MS + Math.floor(Math.random() * RETRY_SPREAD_MS)}\n\n`,
  made: (made) => frame(0n, "made", made),
  event: (event) => frame(event.seq, event.event.case ?? "unknown", toJson(LeafEventSchema, event)),
  keepAlive: ": keep-alive\n\n",
  end: (end) => frame(end.afterSeq, "end", endJson(end)),
};

const JSON_LINES: EventFormat = {
  contentType: "application/x-ndjson",
  start: () => "",
  made: (made) => line({ made }),
  event: (event) => line(toJson(LeafEventSchema, event)),
  // In front of the next line, which stays JSON: not every reader skips an empty line.
  keepAlive: " ",
  end: (end) => line({ end: endJson(end) }),
};

/** What a client asks for by `Accept`; server-sent events if it does not care. INVALID_ARGUMENT `not_acceptable` if it takes neither. */
export function acceptedFormat(accept: string | undefined): EventFormat {
  const [best] = ranked(accept || "*/*");
  if (best !== undefined && best.quality > 0) return best.format;
  throw new HarnessError(
    Code.InvalidArgument,
    "not_acceptable",
    `accept ${SERVER_SENT.contentType} or ${JSON_LINES.contentType}: nothing else is served here`,
  );
}

/** A stream, if a client asks for one by name and would rather have it than JSON; else `undefined`. */
export function preferredFormat(accept = ""): EventFormat | undefined {
  const [best] = ranked(accept).filter(({ format }) => accept.toLowerCase().includes(format.contentType));
  return best !== undefined && best.quality > qualityOf("application/json", accept) ? best.format : undefined;
}

/** The formats, what a client wants most first. */
function ranked(accept: string): ReadonlyArray<{ readonly format: EventFormat; readonly quality: number }> {
  const all = [SERVER_SENT, JSON_LINES].map((format) => ({ format, quality: qualityOf(format.contentType, accept) }));
  return all.toSorted((a, b) => b.quality - a.quality);
}

/** The quality of the most specific range of an Accept header (RFC 9110, 12.5.1) that a type is in; 0 if it is in none. */
function qualityOf(type: string, accept: string): number {
  const ranges = accept.split(",").map((part) => {
    const [range = "", ...parameters] = part.split(";").map((text) => text.trim().toLowerCase());
    const quality = parameters.find((parameter) => parameter.startsWith("q="))?.slice(2);
    return { range, quality: quality === undefined ? 1 : Number(quality) || 0 };
  });
  const wanted = [type, `${type.split("/", 1)[0]}/*`, "*/*"];
  return wanted.map((range) => ranges.find((one) => one.range === range)?.quality).find((quality) => quality !== undefined) ?? 0;
}

function frame(id: bigint, event: string, data: unknown): string {
  return `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}

function line(data: unknown): string {
  return `${JSON.stringify(data)}\n`;
}

/** In the names of WatchRequest's JSON form. */
function endJson({ reason, afterSeq, message }: End): Record<string, string> {
  return { reason, afterSeq: String(afterSeq), ...(message === undefined ? {} : { message }) };
}
