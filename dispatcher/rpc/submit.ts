import type { ServiceImpl } from "@connectrpc/connect";
import type { LeafService } from "@serverless-harness/proto/leaf";
import { callerOf } from "../caller.ts";
import type { Leaves } from "../leaves.ts";

/** Submit queues a leaf. */
export function submit(leaves: Leaves): ServiceImpl<typeof LeafService>["submit"] {
  return (request, context) => leaves.submit(callerOf(context), request.spec, request.idempotencyKey);
}
