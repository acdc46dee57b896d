import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { LeafService, RunRequest, RunResponseSchema } from "@serverless-harness/proto/leaf";
import type { Leaves } from "../leaves.ts";
import { whileRead } from "./stream.ts";

/** Run submits a leaf and streams its events. */
export function run(leaves: Leaves): ServiceImpl<typeof LeafService>["run"] {
  return (request, context) => whileRead(leafAndEvents(leaves, request, context.signal), context.signal);
}

async function* leafAndEvents(
  leaves: Leaves,
  request: RunRequest,
  call: AbortSignal,
): AsyncGenerator<MessageInitShape<typeof RunResponseSchema>> {
  const { leaf } = await leaves.submit(request.spec, request.idempotencyKey);
  yield { leaf };
  for await (const event of leaves.follow(leaf.leafId, 0n, call)) yield { event };
}
