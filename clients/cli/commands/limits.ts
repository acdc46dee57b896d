import type { Command } from "commander";
import { addCommand } from "../command.ts";
import type { CommonOptions } from "../context.ts";

/** Options of `leaf limits`. */
export interface LimitsOptions extends CommonOptions {
  readonly tenant?: string;
}

/** `leaf limits`: what a tenant and a token may have, and what they have. */
export function addLimits(program: Command): void {
  addCommand<LimitsOptions>(program, {
    name: "limits",
    summary: "show what a tenant and your token may have, and what they have",
    options: (command) => command.option("--tenant <name>", "whose (default: your token's tenant; the operator's is default)"),
    run: async (...given) => (await import("../actions/limits.ts")).runLimits(...given),
  });
}
