import type { Context } from "../context.ts";
import { withDispatcher } from "../dispatcher.ts";
import { ExitCode } from "../exit-codes.ts";
import { emptyLeaf, leafJson, leafText } from "../view/leaf-text.ts";

/** Does `leaf get`. */
export async function runGet(context: Context, [leafId = ""]: readonly string[]): Promise<ExitCode> {
  const leaf = emptyLeaf((await withDispatcher(context, (leaves) => leaves.get({ leafId }))).leaf);
  if (context.out.json) context.out.document({ leaf: leafJson(leaf) });
  else context.out.line(leafText(leaf, context.out.color));
  return ExitCode.ok;
}
