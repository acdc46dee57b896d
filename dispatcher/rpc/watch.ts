import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { keptAlive } from "@serverless-harness/kit/keep-alive";
import { Validation } from "@serverless-harness/kit/validate";
import type { LeafService, WatchRequest, WatchResponseSchema } from "@serverless-harness/proto/leaf";
import { type Caller, callerOf } from "../caller.ts";
import type { Leaves } from "../leaves.ts";
import { checkLeafId } from "../query.ts";
import { whileRead } from "./stream.ts";

/** Watch streams a leaf's events from a sequence number. */
export function watch(leaves: Leaves, keepAliveMs: number): ServiceImpl<typeof LeafService>["watch"] {
  return (request, context) =>
    whileRead(keptAlive(events(leaves, callerOf(context), request, context.signal), {}, keepAliveMs), context.signal);
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
