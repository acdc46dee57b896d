import type { ServiceImpl } from "@connectrpc/connect";
import type { Leaf, LeafService } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "@serverless-harness/session";
import { leafQuery } from "../query.ts";

/** List returns a page of leaves, without the pictures of their prompts, which would make it too large: Get has them. */
export function list(store: LeafStore): ServiceImpl<typeof LeafService>["list"] {
  return async (request) => {
    const { leaves, nextPageToken = "" } = await store.list(leafQuery(request));
    return { leaves: leaves.map(withoutPictures), nextPageToken };
  };
}

function withoutPictures(leaf: Leaf): Leaf {
  return leaf.spec === undefined || leaf.spec.images.length === 0 ? leaf : { ...leaf, spec: { ...leaf.spec, images: [] } };
}
