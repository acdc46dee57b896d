import { toJson } from "@bufbuild/protobuf";
import { type Leaf, TombstoneSchema } from "@serverless-harness/proto/leaf";
import type { Command } from "commander";
import { define } from "../command.ts";
import type { Context } from "../context.ts";
import { callError, withDispatcher } from "../dispatcher/call.ts";
import { waitsFor } from "../dispatcher/waits.ts";
import { firstLine } from "../view/format.ts";
import { showLeaf, tombstoneText } from "../view/leaf-text.ts";

/** `leaf get`: one leaf's record. */
export function add(command: Command): void {
  define(command, {
    description: "The exit code is 0 whatever its state: the exit code of `leaf watch` says whether it failed.",
    run: async (context, [leafId = ""]) => {
      const { leaf, tombstone } = await withDispatcher(context, ({ leaves }) => leaves.get({ leafId }));
      if (tombstone === undefined) showLeaf(context.out, leaf, leaf && (await waits(context, leaf)));
      else context.out.answer({ tombstone: toJson(TombstoneSchema, tombstone) }, tombstoneText(tombstone));
    },
  });
}

/** The record is shown even if what the leaf waits for can't be found out. */
async function waits(context: Context, leaf: Leaf): Promise<string | undefined> {
  return await waitsFor(context, leaf).catch((error: unknown) => `for what is not known: ${firstLine(callError(error).message, 200)}`);
}
