import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { type Leaf, LeafSchema, type LeafSpec } from "@serverless-harness/proto/leaf";
import type { Context } from "./context.ts";
import { withDispatcher } from "./dispatcher.ts";

/** Submit a leaf. Without a key of the user's it gets one of its own. */
export async function submitLeaf(
  context: Context,
  spec: LeafSpec,
  idempotencyKey: string = randomUUID(),
): Promise<{ leaf: Leaf; created: boolean }> {
  const { leaf, created } = await withDispatcher(context, (leaves) => leaves.submit({ spec, idempotencyKey }));
  return { leaf: leaf ?? create(LeafSchema), created };
}
