import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { HarnessError, invalidArgument } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import { type LeafSpec, LeafSpecSchema, type StateChanged } from "@serverless-harness/proto/leaf";
import { isTerminal } from "@serverless-harness/session";
import type { Leaves } from "../leaves.ts";
import { parseObject, readBody } from "./body.ts";
import { outcomeReply } from "./outcome.ts";
import { errorReply, type Made, type Reply } from "./reply.ts";
import type { KnownHandler } from "./router.ts";

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

/**
 * `POST /turn` `{prompt, sessionId?}`: one prompt on a session, a new one where none is named. Answers when the turn is over. The client
 * going away stops the waiting, not the turn. A repeated `Idempotency-Key` waits for the first turn again.
 */
export function turn(leaves: Leaves, log: Logger, form: TurnForm = TURN): KnownHandler {
  return async ({ request, gone, caller }) => {
    const { spec, sessionId } = form.read(await readBody(request, MAX_BODY_BYTES));
    let made: Partial<Made> = sessionId === "" ? {} : { sessionId };
    try {
      const { leaf } = await leaves.submit(caller, spec, String(request.headers["idempotency-key"] ?? ""));
      const known: Made = { sessionId: sessionId || (leaf.spec?.sessionId ?? ""), leafId: leaf.leafId };
      made = known;
      return form.outcome(await terminalState(leaves, leaf.leafId, gone), known);
    } catch (error) {
      return errorReply(error, log, made);
    }
  };
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

/** Wait for the leaf's end. CANCELLED where the client went away before. */
async function terminalState(leaves: Leaves, leafId: string, gone: AbortSignal): Promise<StateChanged> {
  for await (const { event } of leaves.follow(leafId, 0n, gone)) {
    if (event.case === "stateChanged" && isTerminal(event.value.state)) return event.value;
  }
  throw new HarnessError(Code.Canceled, "client_gone", "the client went away; the turn goes on");
}
