import type { Command } from "commander";
import { addCommand } from "../command.ts";
import type { CommonOptions } from "../context.ts";

/** `leaf get`: one leaf's record. */
export function addGet(program: Command): void {
  addCommand<CommonOptions>(program, {
    name: "get",
    usage: "<leaf_id>",
    summary: "show where a leaf stands, and its result",
    description: "The exit code is 0 whatever its state: `leaf watch` tells by exit code whether it failed.",
    run: async (context, args) => (await import("../actions/get.ts")).runGet(context, args),
  });
}
