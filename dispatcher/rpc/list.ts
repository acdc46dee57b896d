import type { ServiceImpl } from "@connectrpc/connect";
import type { Leaf, LeafService } from "@serverless-harness/proto/leaf";
import { callerOf } from "../caller.ts";
import type { Leaves } from "../leaves.ts";
import { leafQuery } from "../query.ts";

/** List returns a page of leaves, without the pictures of their prompts, which would make it too large: Get has them. */
export function list(leaves: Leaves): ServiceImpl<typeof LeafService>["list"] {
  return async (request, context) => {
    const { leaves: page, nextPageToken = "" } = await leaves.list(callerOf(context), leafQuery(request));
    return { leaves: page.map(withoutPictures), nextPageToken };
  };
}

function withoutPictures(leaf: Leaf): Leaf {
  return leaf.spec === undefined || leaf.spec.images.length === 0 ? leaf : { ...leaf, spec: { ...leaf.spec, images: [] } };
}
