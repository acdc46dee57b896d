import type { Command } from "commander";
import { addCommand } from "../command.ts";
import type { CommonOptions } from "../context.ts";

/** `leaf ps`: every process of the stack. */
export function addPs(program: Command): void {
  addCommand<CommonOptions>(program, {
    name: "ps",
    summary: "list the processes of the stack",
    description:
      "Read from the operating system, not from what the stack believes. Memory is what is resident; shared pages count for each.",
    run: async (context) => (await import("../actions/ps.ts")).runPs(context),
  });
}
