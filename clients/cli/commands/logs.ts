import type { Command } from "commander";
import { addCommand } from "../command.ts";
import type { CommonOptions } from "../context.ts";
import { wholeNumber } from "../parse.ts";
import { LOGS } from "../stack/paths.ts";

/** Options of `leaf logs`. */
export interface LogsOptions extends CommonOptions {
  readonly follow?: boolean;
  readonly lines: number;
}

/** `leaf logs`: the logs of the stack, for humans. */
export function addLogs(program: Command): void {
  addCommand<LogsOptions>(program, {
    name: "logs",
    usage: "[service]",
    summary: "show the logs of the stack",
    description: `Services: ${LOGS.join(", ")}. Without one: all, by time. With --json each line is an object with the service's name.`,
    options: (command) =>
      command
        .option("-f, --follow", "and what comes, until Ctrl-C")
        .option("-n, --lines <n>", "at most this many last lines of each", wholeNumber(0, 1_000_000), 50),
    run: async (...given) => (await import("../actions/logs.ts")).runLogs(...given),
  });
}
