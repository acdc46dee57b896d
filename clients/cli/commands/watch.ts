import type { Command } from "commander";
import { addCommand } from "../command.ts";
import type { CommonOptions } from "../context.ts";
import { wholeNumber } from "../parse.ts";

/** Options of `leaf watch`. */
export interface WatchOptions extends CommonOptions {
  readonly after: number;
  readonly timeout: number;
}

/** `leaf watch`: a leaf's events, from the first or behind one, to its end. */
export function addWatch(program: Command): void {
  addCommand<WatchOptions>(program, {
    name: "watch",
    usage: "<leaf_id>",
    summary: "follow a leaf's events to its end",
    description: "Pieces of an answer are left out for humans: the answer follows in full. `--json` has them.",
    options: (command) =>
      command
        .option("--after <seq>", "only events behind this sequence number", wholeNumber(0, Number.MAX_SAFE_INTEGER), 0)
        .option("--timeout <seconds>", "stop waiting after this long; 0: never", wholeNumber(0, 1_000_000), 0),
    run: async (...given) => (await import("../actions/watch.ts")).runWatch(...given),
  });
}
