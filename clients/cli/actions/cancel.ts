import type { Context } from "../context.ts";
import { withDispatcher } from "../dispatcher.ts";
import type { ExitCode } from "../exit-codes.ts";
import { userName } from "../user.ts";
import { showLeaf } from "../view/leaf-text.ts";

/** Does `leaf cancel`. */
export async function runCancel(context: Context, [leafId = ""]: readonly string[]): Promise<ExitCode> {
  const { leaf } = await withDispatcher(context, (leaves) => leaves.cancel({ leafId, requestedBy: userName() }));
  return showLeaf(context.out, leaf);
}
