import type { ServiceImpl } from "@connectrpc/connect";
import type { LeafService } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "@serverless-harness/session";
import { leafQuery } from "../query.ts";

/** List returns a page of leaves. */
export function list(store: LeafStore): ServiceImpl<typeof LeafService>["list"] {
  return async (request) => {
    const { leaves, nextPageToken = "" } = await store.list(leafQuery(request));
    return { leaves, nextPageToken };
  };
}
