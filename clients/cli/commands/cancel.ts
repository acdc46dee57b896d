import type { Command } from "commander";
import { addCommand } from "../command.ts";
import type { CommonOptions } from "../context.ts";

/** `leaf cancel`: ask for a leaf's end. */
export function addCancel(program: Command): void {
  addCommand<CommonOptions>(program, {
    name: "cancel",
    usage: "<leaf_id>",
    summary: "end a leaf, with everything that it runs",
    description: "One that runs ends within seconds: `leaf watch` shows it. Safe to repeat; a leaf that is over stays as it is.",
    run: async (context, args) => (await import("../actions/cancel.ts")).runCancel(context, args),
  });
}
