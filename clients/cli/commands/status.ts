import type { Command } from "commander";
import { addCommand } from "../command.ts";
import type { CommonOptions } from "../context.ts";

/** `leaf status`: what runs, and what waits. */
export function addStatus(program: Command): void {
  addCommand<CommonOptions>(program, {
    name: "status",
    summary: "show what runs and what waits",
    description: "The exit code is 3 where nothing runs, or a part of the stack does not answer.",
    run: async (context) => (await import("../actions/status.ts")).runStatus(context),
  });
}
