import type { ServiceImpl } from "@connectrpc/connect";
import type { LeafService } from "@serverless-harness/proto/leaf";
import type { Leaves } from "../leaves.ts";
import { requireLeafId } from "../query.ts";

/** Redrive queues a failed leaf again. */
export function redrive(leaves: Leaves): ServiceImpl<typeof LeafService>["redrive"] {
  return async (request) => ({ leaf: await leaves.redrive(requireLeafId(request), request.fromStart) });
}
