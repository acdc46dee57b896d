import { toJson } from "@bufbuild/protobuf";
import { type Leaf, TombstoneSchema } from "@serverless-harness/proto/leaf";
import { callError } from "../call-error.ts";
import type { Context } from "../context.ts";
import { withDispatcher } from "../dispatcher.ts";
import { ExitCode } from "../exit-codes.ts";
import { firstLine } from "../view/format.ts";
import { showLeaf } from "../view/leaf-text.ts";
import { tombstoneText } from "../view/tombstone-text.ts";
import { waitsFor } from "../waits.ts";

/** Does `leaf get`. */
export async function runGet(context: Context, [leafId = ""]: readonly string[]): Promise<ExitCode> {
  const { leaf, tombstone } = await withDispatcher(context, (leaves) => leaves.get({ leafId }));
  if (tombstone === undefined) return showLeaf(context.out, leaf, leaf && (await waits(context, leaf)));
  if (context.out.json) context.out.document({ tombstone: toJson(TombstoneSchema, tombstone) });
  else context.out.line(tombstoneText(tombstone));
  return ExitCode.ok;
}

/** The record is shown, whatever ails what would be asked beside it. */
async function waits(context: Context, leaf: Leaf): Promise<string | undefined> {
  return await waitsFor(context, leaf).catch((error: unknown) => `for what is not known: ${firstLine(callError(error).message, 200)}`);
}
