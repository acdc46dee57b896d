import type { ServiceImpl } from "@connectrpc/connect";
import type { LeafService } from "@serverless-harness/proto/leaf";
import type { Leaves } from "../leaves.ts";

/** Submit queues a leaf. */
export function submit(leaves: Leaves): ServiceImpl<typeof LeafService>["submit"] {
  return (request) => leaves.submit(request.spec, request.idempotencyKey);
}
