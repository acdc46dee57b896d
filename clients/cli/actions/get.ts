import { toJson } from "@bufbuild/protobuf";
import { TombstoneSchema } from "@serverless-harness/proto/leaf";
import type { Context } from "../context.ts";
import { withDispatcher } from "../dispatcher.ts";
import { ExitCode } from "../exit-codes.ts";
import { showLeaf } from "../view/leaf-text.ts";
import { tombstoneText } from "../view/tombstone-text.ts";
import { waitsFor } from "../waits.ts";

/** Does `leaf get`. */
export async function runGet(context: Context, [leafId = ""]: readonly string[]): Promise<ExitCode> {
  const { leaf, tombstone } = await withDispatcher(context, (leaves) => leaves.get({ leafId }));
  if (tombstone === undefined) return showLeaf(context.out, leaf, leaf && (await waitsFor(context, leaf)));
  if (context.out.json) context.out.document({ tombstone: toJson(TombstoneSchema, tombstone) });
  else context.out.line(tombstoneText(tombstone));
  return ExitCode.ok;
}
