import type { Command } from "commander";
import { addCommand } from "../command.ts";
import type { CommonOptions } from "../context.ts";

/** Options of `leaf down`. */
export interface DownOptions extends CommonOptions {
  readonly wait?: boolean;
}

/** `leaf down`: stop everything. */
export function addDown(program: Command): void {
  addCommand<DownOptions>(program, {
    name: "down",
    summary: "stop the stack and every process of it",
    description:
      "Leaves that run are suspended, and go on after the next `leaf up`. Commands and terminals end with the sandbox: the model is told so when " +
      "its leaf goes on. What is at work is listed first; --wait waits for it. Nothing that was durable is removed.",
    options: (command) =>
      command.option("--wait", "until no leaf runs and no leaf's command; Ctrl-C stops waiting, and stops nothing else"),
    run: async (context, _args, options) => (await import("../actions/down.ts")).runDown(context, options),
  });
}
