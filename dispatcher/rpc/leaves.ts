import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { newId } from "@serverless-harness/kit/ids";
import { keptAlive } from "@serverless-harness/kit/keep-alive";
import { Validation } from "@serverless-harness/kit/validate";
import {
  type DecideRequest,
  DecisionKind,
  type Leaf,
  type LeafService,
  type RunRequest,
  type RunResponseSchema,
  type SendRequest,
  type WatchRequest,
  type WatchResponseSchema,
} from "@serverless-harness/proto/leaf";
import { checkMessage, type NewMessage } from "@serverless-harness/session";
import { type Caller, callerOf } from "../callers/caller.ts";
import type { Leaves } from "../leaves.ts";
import { checkLeafId, leafQuery, requireLeafId } from "../query.ts";
import { untilSaturated } from "../saturation.ts";
import { whileRead } from "../while-read.ts";

const KINDS: ReadonlySet<DecisionKind> = new Set([DecisionKind.APPROVE, DecisionKind.REJECT, DecisionKind.ABORT]);

/**
 * The RPCs of LeafService. `keepAliveMs`: a stream without news sends an empty message that often. `saturationMs`: Run waits no longer for room in
 * a sandbox.
 */
export function leafRpcs(leaves: Leaves, keepAliveMs: number, saturationMs: number): ServiceImpl<typeof LeafService> {
  const kept = <T extends object>(stream: AsyncIterable<T>, call: AbortSignal) => whileRead(keptAlive(stream, {} as T, keepAliveMs), call);
  return {
    submit: (request, context) => leaves.submit(callerOf(context), request.spec, request.idempotencyKey),
    run: (request, context) => kept(leafAndEvents(leaves, saturationMs, callerOf(context), request, context.signal), context.signal),
    get: (request, context) => leaves.find(callerOf(context), requireLeafId(request)),
    list: async (request, context) => {
      const { leaves: page, nextPageToken = "" } = await leaves.list(callerOf(context), leafQuery(request));
      return { leaves: page.map(withoutPictures), nextPageToken };
    },
    watch: (request, context) => kept(events(leaves, callerOf(context), request, context.signal), context.signal),
    cancel: async (request, context) => ({ leaf: await leaves.cancel(callerOf(context), requireLeafId(request), request.requestedBy) }),
    decide: async (request, context) => {
      requireDecision(request);
      const { leafId, gateId, kind, feedback, decidedBy, decisionRef } = request;
      const caller = callerOf(context);
      if (decisionRef !== "") return { gate: await leaves.decideByFile(caller, leafId, decisionRef, decidedBy) };
      return { gate: await leaves.decide(caller, leafId, gateId, { kind, feedback, decidedBy }) };
    },
    redrive: async (request, context) => ({ leaf: await leaves.redrive(callerOf(context), requireLeafId(request), request.fromStart) }),
    send: async (request, context) => ({ message: await leaves.send(callerOf(context), request.leafId, messageOf(request)) }),
  };
}

async function* leafAndEvents(
  leaves: Leaves,
  saturationMs: number,
  caller: Caller,
  request: RunRequest,
  call: AbortSignal,
): AsyncGenerator<MessageInitShape<typeof RunResponseSchema>> {
  const { leaf } = await leaves.submit(caller, request.spec, request.idempotencyKey);
  yield { leaf };
  const follow = (until: AbortSignal) => leaves.follow(leaf.leafId, 0n, until);
  for await (const event of untilSaturated(follow, saturationMs, call)) yield { event };
}

async function* events(
  leaves: Leaves,
  caller: Caller,
  request: WatchRequest,
  call: AbortSignal,
): AsyncGenerator<MessageInitShape<typeof WatchResponseSchema>> {
  const v = new Validation();
  checkLeafId(v, request.leafId);
  v.check("after_seq", request.afterSeq >= 0n, "must be 0 (the default) or more");
  v.done();
  await leaves.get(caller, request.leafId);
  for await (const event of leaves.follow(request.leafId, request.afterSeq, call)) yield { event };
}

/** A page with the pictures of its prompts would be too large. */
function withoutPictures(leaf: Leaf): Leaf {
  return leaf.spec === undefined || leaf.spec.images.length === 0 ? leaf : { ...leaf, spec: { ...leaf.spec, images: [] } };
}

function requireDecision({ leafId, gateId, kind, feedback, decisionRef }: DecideRequest): void {
  const v = new Validation();
  checkLeafId(v, leafId);
  if (decisionRef === "") {
    v.check("gate_id", gateId !== "", "must be set: the leaf's open_gates name it");
    v.check("kind", KINDS.has(kind), "must be DECISION_KIND_APPROVE, DECISION_KIND_REJECT or DECISION_KIND_ABORT");
  } else {
    const alone = gateId === "" && kind === DecisionKind.UNSPECIFIED && feedback === "";
    v.check("decision_ref", alone, "must not be set with gate_id, kind or feedback: the file says them");
  }
  v.done();
}

function messageOf({ leafId, text, mode, messageId, sentBy }: SendRequest): NewMessage {
  const message = { messageId: messageId || newId("message"), mode, text, sentBy };
  const v = new Validation();
  checkLeafId(v, leafId);
  checkMessage(v, message);
  v.done();
  return message;
}
