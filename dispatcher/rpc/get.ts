import type { ServiceImpl } from "@connectrpc/connect";
import type { LeafService } from "@serverless-harness/proto/leaf";
import { callerOf } from "../caller.ts";
import type { Leaves } from "../leaves.ts";
import { requireLeafId } from "../query.ts";

/** Get returns a leaf, or what is left of it. */
export function get(leaves: Leaves): ServiceImpl<typeof LeafService>["get"] {
  return (request, context) => leaves.find(callerOf(context), requireLeafId(request));
}
