import { HarnessError, invalidArgument } from "@serverless-harness/kit/errors";
import { keptAlive } from "@serverless-harness/kit/keep-alive";
import type { Logger } from "@serverless-harness/kit/log";
import type { PlainRequest } from "@serverless-harness/kit/serve";
import type { LeafEvent } from "@serverless-harness/proto/leaf";
import { isTerminal } from "@serverless-harness/session";
import { acceptedFormat, type End, type EventFormat } from "../http/event-formats.ts";
import type { Made, StreamReply } from "../http/reply.ts";
import { type KnownHandler, queryOf } from "../http/router.ts";
import type { Leaves } from "../leaves.ts";

const MAX_SEQ = 2n ** 63n - 1n;

/**
 * `GET /v1/leaves/{id}/events`: what Watch tells, as server-sent events or JSON lines, after the position in `Last-Event-ID` or `?after=`. Its last
 * words say why it ended and where to go on. A leaf that is over and has no event after the position is a 204, at which an
 * EventSource stops to connect again.
 */
export function events(leaves: Leaves, keepAliveMs: number, log: Logger): KnownHandler {
  return async ({ request, params, caller, gone }) => {
    const format = acceptedFormat(request.headers.accept);
    const after = positionOf(request);
    const { leafId, state } = await leaves.get(caller, params["id"] ?? "");
    const isOver = isTerminal(state);
    if (isOver && !(await isAnyAfter(leaves, leafId, after, gone))) return { status: 204, pieces: [] };
    return streamReply(format, leaves.follow(leafId, after, gone), { after, isOver, keepAliveMs, gone, log });
  };
}

/** An answer that tells events as they come. */
export function streamReply(format: EventFormat, following: AsyncIterable<LeafEvent>, stream: Stream): StreamReply {
  const headers = { "content-type": format.contentType, "x-accel-buffering": "no" };
  return { status: 200, headers, pieces: written(format, following, stream) };
}

/** Where a stream stands, and how it is kept. */
export interface Stream {
  /** What was made for it: told first. */
  readonly made?: Made;
  readonly after: bigint;
  /** Its leaf was over when it began. */
  readonly isOver: boolean;
  readonly keepAliveMs: number;
  readonly gone: AbortSignal;
  readonly log: Logger;
}

async function* written(format: EventFormat, following: AsyncIterable<LeafEvent>, stream: Stream): AsyncGenerator<string> {
  let { after: afterSeq, isOver } = stream;
  let end: End;
  yield `${format.start()}${stream.made === undefined ? "" : format.made(stream.made)}`;
  try {
    for await (const { event } of keptAlive<{ event?: LeafEvent }>(wrapped(following), {}, stream.keepAliveMs)) {
      yield event === undefined ? format.keepAlive : format.event(event);
      if (event === undefined) continue;
      afterSeq = event.seq;
      if (event.event.case === "stateChanged") isOver = isTerminal(event.event.value.state);
    }
    end = { reason: isOver ? "leaf_over" : "leaf_removed", afterSeq };
  } catch (error) {
    const known = error instanceof HarnessError;
    if (!known && !stream.gone.aborted) stream.log.error({ err: error }, "a stream of events broke");
    end = known
      ? { reason: error.reason, afterSeq, message: error.message }
      : { reason: "internal", afterSeq, message: "internal error; the service's log has the cause" };
  }
  yield format.end(end);
}

async function* wrapped(events: AsyncIterable<LeafEvent>): AsyncGenerator<{ event: LeafEvent }> {
  for await (const event of events) yield { event };
}

/** A leaf that is over has an event after a position. */
async function isAnyAfter(leaves: Leaves, leafId: string, after: bigint, gone: AbortSignal): Promise<boolean> {
  for await (const _event of leaves.follow(leafId, after, gone)) return true;
  return false;
}

/** The sequence number to begin after. An EventSource sends the header when it connects again, and then it counts, not its address. */
function positionOf(request: PlainRequest): bigint {
  const query = queryOf(request);
  const unknown = [...query.keys()].filter((name) => name !== "after");
  if (unknown.length > 0)
    throw invalidArgument(unknown.map((field) => ({ field, description: "is unknown: only `after` can be asked for" })));
  const after = sequence("after", query.getAll("after"));
  const last = request.headers["last-event-id"];
  return sequence("Last-Event-ID", last === undefined || last === "" ? [] : [String(last)]) ?? after ?? 0n;
}

function sequence(field: string, values: readonly string[]): bigint | undefined {
  const [value, ...more] = values;
  if (value === undefined) return undefined;
  const seq = /^\d{1,19}$/.test(value) && more.length === 0 ? BigInt(value) : undefined;
  if (seq !== undefined && seq <= MAX_SEQ) return seq;
  throw invalidArgument([{ field, description: "must be one sequence number: the `id` of the last event that was read, or 0" }]);
}
