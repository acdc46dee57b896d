import type { ServiceImpl } from "@connectrpc/connect";
import type { LeafService } from "@serverless-harness/proto/leaf";
import { callerOf } from "../caller.ts";
import type { Leaves } from "../leaves.ts";
import { requireLeafId } from "../query.ts";

/** Cancel asks for a leaf's end. */
export function cancel(leaves: Leaves): ServiceImpl<typeof LeafService>["cancel"] {
  return async (request, context) => ({ leaf: await leaves.cancel(callerOf(context), requireLeafId(request), request.requestedBy) });
}
