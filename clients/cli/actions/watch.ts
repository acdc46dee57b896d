import type { WatchOptions } from "../commands/watch.ts";
import type { Context } from "../context.ts";
import { withDispatcher } from "../dispatcher.ts";
import type { ExitCode } from "../exit-codes.ts";
import { followToEnd } from "../follow-to-end.ts";
import { emptyLeaf } from "../view/leaf-text.ts";
import { WatchView } from "../view/watch-view.ts";

/** Does `leaf watch`. */
export async function runWatch(context: Context, [leafId = ""]: readonly string[], options: WatchOptions): Promise<ExitCode> {
  const leaf = emptyLeaf((await withDispatcher(context, (leaves) => leaves.get({ leafId }))).leaf);
  return await followToEnd(context, leaf, BigInt(options.after), options.timeout, new WatchView(context.out, leaf));
}
