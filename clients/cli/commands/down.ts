import type { Command } from "commander";
import { addCommand } from "../command.ts";
import type { CommonOptions } from "../context.ts";

/** `leaf down`: stop everything. */
export function addDown(program: Command): void {
  addCommand<CommonOptions>(program, {
    name: "down",
    summary: "stop the stack and every process of it",
    description: "Leaves that run are suspended, and go on after the next `leaf up`. Nothing that was durable is removed.",
    run: async (context) => (await import("../actions/down.ts")).runDown(context),
  });
}
