import type { Command } from "commander";
import { define } from "../command.ts";
import type { CommonOptions } from "../context.ts";
import { withDispatcher } from "../dispatcher/call.ts";
import { followToEnd } from "../dispatcher/follow.ts";
import { wholeNumber } from "../options/values.ts";
import { emptyLeaf } from "../view/leaf-text.ts";
import { WatchView } from "../view/watch-view.ts";

interface WatchOptions extends CommonOptions {
  readonly after: number;
  readonly timeout: number;
}

/** `leaf watch`: a leaf's events, all or those after one, to its end. */
export function add(command: Command): void {
  define<WatchOptions>(command, {
    description: "Pieces of an answer are left out for humans: the whole answer follows. `--json` has them.",
    options: (given) =>
      given
        .option("--after <seq>", "only events after this sequence number", wholeNumber(0, Number.MAX_SAFE_INTEGER), 0)
        .option("--timeout <seconds>", "stop waiting after this long; 0: never", wholeNumber(0, 1_000_000), 0),
    run: async (context, [leafId = ""], { after, timeout }) => {
      const leaf = emptyLeaf((await withDispatcher(context, ({ leaves }) => leaves.get({ leafId }))).leaf);
      await followToEnd(context, leaf, BigInt(after), timeout, new WatchView(context.out, leaf));
    },
  });
}
