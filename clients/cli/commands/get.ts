import type { Command } from "commander";
import { addCommand } from "../command.ts";
import type { CommonOptions, Context } from "../context.ts";
import { withDispatcher } from "../dispatcher.ts";
import { ExitCode } from "../exit-codes.ts";
import { emptyLeaf, leafJson, leafText } from "../view/leaf-text.ts";

/** `leaf get`: one leaf's record. */
export function addGet(program: Command): void {
  addCommand<CommonOptions>(program, {
    name: "get",
    usage: "<leaf_id>",
    summary: "show where a leaf stands, and its result",
    description: "The exit code is 0 whatever its state: `leaf watch` tells by exit code whether it failed.",
    run: runGet,
  });
}

async function runGet(context: Context, [leafId = ""]: readonly string[]): Promise<ExitCode> {
  const leaf = emptyLeaf((await withDispatcher(context, (leaves) => leaves.get({ leafId }))).leaf);
  if (context.out.json) context.out.document({ leaf: leafJson(leaf) });
  else context.out.line(leafText(leaf, context.out.color));
  return ExitCode.ok;
}
