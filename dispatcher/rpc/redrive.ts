import type { ServiceImpl } from "@connectrpc/connect";
import type { LeafService } from "@serverless-harness/proto/leaf";
import { callerOf } from "../caller.ts";
import type { Leaves } from "../leaves.ts";
import { requireLeafId } from "../query.ts";

/** Redrive queues a failed leaf again. */
export function redrive(leaves: Leaves): ServiceImpl<typeof LeafService>["redrive"] {
  return async (request, context) => ({ leaf: await leaves.redrive(callerOf(context), requireLeafId(request), request.fromStart) });
}
