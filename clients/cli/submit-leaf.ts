import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { type Leaf, LeafSchema, type LeafSpec } from "@serverless-harness/proto/leaf";
import { callError } from "./call-error.ts";
import type { Context } from "./context.ts";
import { withDispatcher } from "./dispatcher.ts";
import { CliError } from "./errors.ts";

/** Submit a leaf. Without a key of the user's it gets one of its own. */
export async function submitLeaf(
  context: Context,
  spec: LeafSpec,
  idempotencyKey: string = randomUUID(),
): Promise<{ leaf: Leaf; created: boolean }> {
  try {
    const { leaf, created } = await withDispatcher(context, (leaves) => leaves.submit({ spec, idempotencyKey }));
    return { leaf: leaf ?? create(LeafSchema), created };
  } catch (error) {
    const known = callError(error);
    if (known.reason !== "session_not_found") throw known;
    const message = `there is no session ${spec.fork?.sessionId ?? spec.sessionId}: \`leaf list\` shows those that there are; without --session and --fork a new one is made`;
    throw new CliError(known.exitCode, known.reason, message, error);
  }
}
