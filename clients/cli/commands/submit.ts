import type { Command } from "commander";
import { addCommand } from "../command.ts";
import type { CommonOptions } from "../context.ts";
import { files } from "../images.ts";
import { labels, tools } from "../parse.ts";
import { forkPoint, type SessionOptions } from "../session-options.ts";
import { addWorkOptions, type WorkOptions } from "../work-options.ts";

/** Options of `leaf submit`. */
export interface SubmitOptions extends CommonOptions, SessionOptions, WorkOptions {
  readonly model?: string;
  readonly image?: string[];
  readonly label?: Record<string, string>;
  readonly key?: string;
  readonly ask?: string[];
}

/** `leaf submit`: queue a leaf and don't wait. */
export function addSubmit(program: Command): void {
  addCommand<SubmitOptions>(program, {
    name: "submit",
    usage: "<prompt>",
    summary: "queue a leaf, and print its id without waiting",
    options: (command) =>
      addWorkOptions(command)
        .option("--session <id>", "go on with this session; default: a new one")
        .option(
          "--fork <session[@entry]>",
          "begin a session with a copy of another one, up to an answer or to its newest; --session names it",
          forkPoint,
        )
        .option("--image <file>", "a picture that goes with the prompt; may be repeated", files)
        .option("--model <provider/model>", "for this leaf only; default: the stack's")
        .option("--label <key=value>", "a label for `leaf list`; may be repeated", labels)
        .option("--ask <tool>", "each call of this tool waits for `leaf approve`; may be repeated", tools)
        .option("--key <key>", "idempotency key: the same key makes no second leaf"),
    run: async (...given) => (await import("../actions/submit.ts")).runSubmit(...given),
  });
}
