import type { Command } from "commander";
import { addCommand } from "../command.ts";
import type { CommonOptions } from "../context.ts";

/** Options of `leaf ps`. */
export interface PsOptions extends CommonOptions {
  readonly all?: boolean;
}

/** `leaf ps`: the services of the stack, or every process of it. */
export function addPs(program: Command): void {
  addCommand<PsOptions>(program, {
    name: "ps",
    summary: "list the services of the stack, or with --all every process",
    description:
      "Read from the operating system, not from what the stack believes. Memory is what is resident; shared pages count for each. With --json it is always every process.",
    options: (command) => command.option("-a, --all", "every process: jails, shells that are kept warm, commands"),
    run: async (context, _args, options) => (await import("../actions/ps.ts")).runPs(context, options),
  });
}
