import type { ServiceImpl } from "@connectrpc/connect";
import type { LeafService } from "@serverless-harness/proto/leaf";
import type { Leaves } from "../leaves.ts";
import { requireLeafId } from "../query.ts";

/** Get returns a leaf. */
export function get(leaves: Leaves): ServiceImpl<typeof LeafService>["get"] {
  return async (request) => ({ leaf: await leaves.get(requireLeafId(request)) });
}
