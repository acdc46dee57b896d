import type { Command } from "commander";
import { addCommand } from "../command.ts";
import type { CommonOptions } from "../context.ts";

/** Options of `leaf send`. */
export interface SendOptions extends CommonOptions {
  readonly followUp?: boolean;
  readonly id?: string;
  readonly by?: string;
}

/** `leaf send`: say something to a leaf that is under way. */
export function addSend(program: Command): void {
  addCommand<SendOptions>(program, {
    name: "send",
    usage: "<leaf_id> <text>",
    summary: "say something to a leaf that is not over",
    description:
      "The agent reads it before its next request to the model, behind tool calls that have begun. A leaf that waits reads it when it goes on. `-` is standard input.",
    options: (command) =>
      command
        .option("--follow-up", "to be read when the agent would be done: it goes on with this then")
        .option("--id <id>", "the message's name: the same name says it once")
        .option("--by <name>", "who says it; default: you"),
    run: async (...given) => (await import("../actions/send.ts")).runSend(...given),
  });
}
