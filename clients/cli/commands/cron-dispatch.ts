import type { Command } from "commander";
import { addCommand } from "../command.ts";
import type { CommonOptions } from "../context.ts";

/** Options of `leaf cron-dispatch`. */
export interface CronDispatchOptions extends CommonOptions {
  readonly fire?: string;
}

/** `leaf cron-dispatch`: submit what a file lists, from somebody else's cron. */
export function addCronDispatch(program: Command): void {
  addCommand<CronDispatchOptions>(program, {
    name: "cron-dispatch",
    usage: "<file>",
    summary: "submit every item of a file, as a cron job does",
    description:
      'The file holds {"items": [...]}. An item is {"spec": {...}}, a leaf as the API takes it, or an envelope of POST /runs. `__FIRE__` in any text of it stands for the fire. Every item is tried; the exit code is 1 if one was refused.',
    options: (command) =>
      command.option("--fire <id>", "the fire: a repeated one makes no second leaf; default: JOB_NAME, or one for this process"),
    run: async (...given) => (await import("../actions/cron-dispatch.ts")).runCronDispatch(...given),
  });
}
