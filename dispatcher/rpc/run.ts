import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { keptAlive } from "@serverless-harness/kit/keep-alive";
import type { LeafService, RunRequest, RunResponseSchema } from "@serverless-harness/proto/leaf";
import { type Caller, callerOf } from "../caller.ts";
import type { Leaves } from "../leaves.ts";
import { whileRead } from "./stream.ts";

/** Run submits a leaf and streams its events. */
export function run(leaves: Leaves, keepAliveMs: number): ServiceImpl<typeof LeafService>["run"] {
  return (request, context) =>
    whileRead(keptAlive(leafAndEvents(leaves, callerOf(context), request, context.signal), {}, keepAliveMs), context.signal);
}

async function* leafAndEvents(
  leaves: Leaves,
  caller: Caller,
  request: RunRequest,
  call: AbortSignal,
): AsyncGenerator<MessageInitShape<typeof RunResponseSchema>> {
  const { leaf } = await leaves.submit(caller, request.spec, request.idempotencyKey);
  yield { leaf };
  for await (const event of leaves.follow(leaf.leafId, 0n, call)) yield { event };
}
