import type { Command } from "commander";
import { addCommand } from "../command.ts";
import type { CommonOptions } from "../context.ts";

/** Options of `leaf redrive`. */
export interface RedriveOptions extends CommonOptions {
  readonly fromStart?: boolean;
}

/** `leaf redrive`: queue a failed leaf again. */
export function addRedrive(program: Command): void {
  addCommand<RedriveOptions>(program, {
    name: "redrive",
    usage: "<leaf_id>",
    summary: "queue a failed leaf again, with all its attempts ahead of it",
    options: (command) => command.option("--from-start", "from the start, instead of from where it stopped"),
    run: async (...given) => (await import("../actions/redrive.ts")).runRedrive(...given),
  });
}
