import type { ServiceImpl } from "@connectrpc/connect";
import type { LeafService } from "@serverless-harness/proto/leaf";
import type { Leaves } from "../leaves.ts";
import { requireLeafId } from "../query.ts";

/** Cancel asks for a leaf's end. */
export function cancel(leaves: Leaves): ServiceImpl<typeof LeafService>["cancel"] {
  return async (request) => ({ leaf: await leaves.cancel(requireLeafId(request), request.requestedBy) });
}
