import type { Command } from "commander";
import { addCommand } from "../command.ts";
import type { CommonOptions } from "../context.ts";
import { labels, type StateName, states, wholeNumber } from "../parse.ts";

/** Options of `leaf list`. */
export interface ListOptions extends CommonOptions {
  readonly state?: StateName[];
  readonly session?: string;
  readonly label?: Record<string, string>;
  readonly limit: number;
  readonly page?: string;
}

/** `leaf list`: the newest leaves, filtered. */
export function addList(program: Command): void {
  addCommand<ListOptions>(program, {
    name: "list",
    summary: "list leaves, newest first",
    options: (command) =>
      command
        .option("--state <state>", "only in this state; may be repeated", states)
        .option("--session <id>", "only of this session")
        .option("--label <key=value>", "only with this label; may be repeated", labels)
        .option("--limit <n>", "at most this many", wholeNumber(1, 1000), 20)
        .option("--page <token>", "the page behind an earlier one"),
    run: async (...given) => (await import("../actions/list.ts")).runList(...given),
  });
}
