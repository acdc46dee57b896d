import type { Command } from "commander";
import { addCommand } from "../command.ts";
import type { CommonOptions, Context } from "../context.ts";
import { withDispatcher } from "../dispatcher.ts";
import type { ExitCode } from "../exit-codes.ts";
import { followToEnd } from "../follow-to-end.ts";
import { wholeNumber } from "../parse.ts";
import { emptyLeaf } from "../view/leaf-text.ts";
import { WatchView } from "../view/watch-view.ts";

interface Options extends CommonOptions {
  readonly after: number;
  readonly timeout: number;
}

/** `leaf watch`: a leaf's events, from the first or behind one, to its end. */
export function addWatch(program: Command): void {
  addCommand<Options>(program, {
    name: "watch",
    usage: "<leaf_id>",
    summary: "follow a leaf's events to its end",
    description: "Pieces of an answer are left out for humans: the answer follows in full. `--json` has them.",
    options: (command) =>
      command
        .option("--after <seq>", "only events behind this sequence number", wholeNumber(0, Number.MAX_SAFE_INTEGER), 0)
        .option("--timeout <seconds>", "stop waiting after this long; 0: never", wholeNumber(0, 1_000_000), 0),
    run: runWatch,
  });
}

async function runWatch(context: Context, [leafId = ""]: readonly string[], options: Options): Promise<ExitCode> {
  const leaf = emptyLeaf((await withDispatcher(context, (leaves) => leaves.get({ leafId }))).leaf);
  return await followToEnd(context, leaf, BigInt(options.after), options.timeout, new WatchView(context.out, leaf));
}
