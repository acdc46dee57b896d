import type { Command } from "commander";
import { addCommand } from "../command.ts";
import type { CommonOptions } from "../context.ts";
import { files } from "../images.ts";
import { wholeNumber } from "../parse.ts";
import { forkPoint, type SessionOptions } from "../session-options.ts";

/** Options of `leaf turn`. */
export interface TurnOptions extends CommonOptions, SessionOptions {
  readonly model?: string;
  readonly image?: string[];
  readonly timeout: number;
}

/** `leaf turn`: one prompt, followed to its answer. */
export function addTurn(program: Command): void {
  addCommand<TurnOptions>(program, {
    name: "turn",
    usage: "<prompt>",
    summary: "ask the agent and wait for its answer",
    description:
      "The answer goes to stdout, tool calls and the rest to stderr. A turn goes on in the background where this command is interrupted.",
    options: (command) =>
      command
        .option("--session <id>", "go on with this session; default: a new one")
        .option(
          "--fork <session[@entry]>",
          "begin a session with a copy of another one, up to an answer or to its newest; --session names it",
          forkPoint,
        )
        .option("--image <file>", "a picture that goes with the prompt; may be repeated", files)
        .option("--model <provider/model>", "for this turn only; default: the stack's")
        .option("--timeout <seconds>", "stop waiting after this long; 0: never", wholeNumber(0, 1_000_000), 0),
    run: async (...given) => (await import("../actions/turn.ts")).runTurn(...given),
  });
}
