import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { HarnessError, invalidArgument } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import { type LeafEvent, type LeafSpec, LeafSpecSchema, type StateChanged } from "@serverless-harness/proto/leaf";
import { isTerminal } from "@serverless-harness/session";
import { parseObject, readBody } from "../http/body.ts";
import { preferredFormat } from "../http/event-formats.ts";
import { errorReply, type Made, type Reply } from "../http/reply.ts";
import type { KnownHandler } from "../http/router.ts";
import type { Leaves } from "../leaves.ts";
import { untilSaturated } from "../saturation.ts";
import { streamReply } from "./events.ts";
import { outcomeReply } from "./outcome.ts";
import { waitPreference } from "./prefer.ts";

/** Largest body: a prompt of 1 MiB, escaped as JSON. */
const MAX_BODY_BYTES = 4 * 1024 * 1024;

/** How turns are read and answered. */
export interface TurnForm {
  /** Read a body into a leaf, and the session's id as it was sent; empty where none was. */
  readonly read: (body: Buffer) => { readonly spec: LeafSpec; readonly sessionId: string };
  readonly outcome: (end: StateChanged, made: Made) => Reply;
}

/** Our own. */
export const TURN: TurnForm = {
  read: (body) => {
    const spec = turnSpec(parseObject(body, '{"prompt": "..."}'));
    return { spec, sessionId: spec.sessionId };
  },
  outcome: outcomeReply,
};

/** What turns need. */
export interface TurnOptions {
  readonly leaves: Leaves;
  /** Longest silence of a stream, in milliseconds. */
  readonly keepAliveMs: number;
  /** A turn is waited for no longer while no sandbox has room for it, in milliseconds. */
  readonly saturationMs: number;
  readonly log: Logger;
}

/**
 * `POST /turn` `{prompt, sessionId?}`: one prompt on a session, a new one if none is named. Answers when the turn is over; with 202 when it is not
 * over after the time in `Prefer: wait=SECONDS`, or at once by `Prefer: respond-async`; or, by `Accept`, with the turn's events as they come. The client
 * going away stops the waiting, not the turn. A repeated `Idempotency-Key` waits for the first turn again.
 */
export function turn({ leaves, keepAliveMs, saturationMs, log }: TurnOptions, form: TurnForm = TURN): KnownHandler {
  return async ({ request, gone, caller }) => {
    const stream = preferredFormat(request.headers.accept);
    const { waitMs, applied } = waitPreference(request);
    const { spec, sessionId } = form.read(await readBody(request, MAX_BODY_BYTES));
    let made: Partial<Made> = sessionId === "" ? {} : { sessionId };
    try {
      const { leaf } = await leaves.submit(caller, spec, String(request.headers["idempotency-key"] ?? ""));
      const known: Made = { sessionId: sessionId || (leaf.spec?.sessionId ?? ""), leafId: leaf.leafId };
      made = known;
      if (stream !== undefined) {
        const following = untilSaturated((until) => leaves.follow(leaf.leafId, 0n, until), saturationMs, gone);
        return streamReply(stream, following, { made: known, after: 0n, isOver: isTerminal(leaf.state), keepAliveMs, gone, log });
      }
      // What is over is answered, however little time there is.
      const follow = (until: AbortSignal) => untilSaturated((both) => leaves.follow(leaf.leafId, 0n, both), saturationMs, until);
      const end = await terminalState(follow, gone, isTerminal(leaf.state) ? undefined : waitMs);
      return end === undefined ? accepted(known, applied) : form.outcome(end, known);
    } catch (error) {
      return errorReply(error, log, made);
    }
  };
}

/** The turn goes on, and this is how its client finds it again. */
function accepted(made: Made, applied: string): Reply {
  const headers = { location: `/v1/leaves/${made.leafId}/events`, "preference-applied": applied };
  return { status: 202, headers, body: { status: "accepted", ...made } };
}

/** A turn's prompt and session as a leaf. INVALID_ARGUMENT `prompt_required` where there is nothing to say. */
export function turnSpec({ prompt, sessionId }: Readonly<Record<string, unknown>>): LeafSpec {
  if (typeof prompt !== "string" || prompt.trim() === "") {
    throw new HarnessError(Code.InvalidArgument, "prompt_required", 'send a prompt that is not blank: {"prompt": "..."}');
  }
  if (sessionId !== undefined && sessionId !== null && typeof sessionId !== "string") {
    throw invalidArgument([{ field: "spec.session_id", description: "must be a string: the sessionId of an earlier answer" }]);
  }
  return create(LeafSpecSchema, { prompt, sessionId: sessionId ?? "", sessionMustExist: Boolean(sessionId) });
}

/** Wait for the leaf's end; `undefined` if it did not come in time. CANCELLED if the client went away before. */
async function terminalState(
  follow: (until: AbortSignal) => AsyncIterable<LeafEvent>,
  gone: AbortSignal,
  waitMs?: number,
): Promise<StateChanged | undefined> {
  const timeUp = waitMs === undefined ? undefined : AbortSignal.timeout(waitMs);
  const enough = timeUp === undefined ? gone : AbortSignal.any([gone, timeUp]);
  for await (const { event } of follow(enough)) {
    if (event.case === "stateChanged" && isTerminal(event.value.state)) return event.value;
  }
  if (timeUp?.aborted === true && !gone.aborted) return undefined;
  throw new HarnessError(Code.Canceled, "client_gone", "the client went away; the turn goes on");
}
