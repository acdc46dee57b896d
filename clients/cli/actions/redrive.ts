import type { RedriveOptions } from "../commands/redrive.ts";
import type { Context } from "../context.ts";
import { withDispatcher } from "../dispatcher.ts";
import type { ExitCode } from "../exit-codes.ts";
import { showLeaf } from "../view/leaf-text.ts";

/** Does `leaf redrive`. */
export async function runRedrive(context: Context, [leafId = ""]: readonly string[], options: RedriveOptions): Promise<ExitCode> {
  const { leaf } = await withDispatcher(context, (leaves) => leaves.redrive({ leafId, fromStart: options.fromStart === true }));
  return showLeaf(context.out, leaf);
}
