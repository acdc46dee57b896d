import { create } from "@bufbuild/protobuf";
import { LeafSpecSchema } from "@serverless-harness/proto/leaf";
import type { Command } from "commander";
import { addCommand } from "../command.ts";
import type { CommonOptions, Context } from "../context.ts";
import type { ExitCode } from "../exit-codes.ts";
import { followToEnd } from "../follow-to-end.ts";
import { readPrompt, wholeNumber } from "../parse.ts";
import { submitLeaf } from "../submit-leaf.ts";
import { TurnView } from "../view/turn-view.ts";

interface Options extends CommonOptions {
  readonly session?: string;
  readonly model?: string;
  readonly timeout: number;
}

/** `leaf turn`: one prompt, followed to its answer. */
export function addTurn(program: Command): void {
  addCommand<Options>(program, {
    name: "turn",
    usage: "<prompt>",
    summary: "ask the agent and wait for its answer",
    description:
      "The answer goes to stdout, tool calls and the rest to stderr. A turn goes on in the background where this command is interrupted.",
    options: (command) =>
      command
        .option("--session <id>", "go on with this session; default: a new one")
        .option("--model <provider/model>", "for this turn only; default: the stack's")
        .option("--timeout <seconds>", "stop waiting after this long; 0: never", wholeNumber(0, 1_000_000), 0),
    run: runTurn,
  });
}

async function runTurn(context: Context, [argument = ""]: readonly string[], options: Options): Promise<ExitCode> {
  const prompt = await readPrompt(argument);
  const spec = create(LeafSpecSchema, { prompt, model: options.model ?? "" });
  if (options.session !== undefined) Object.assign(spec, { sessionId: options.session, sessionMustExist: true });
  const { leaf } = await submitLeaf(context, spec);
  return await followToEnd(context, leaf, 0n, options.timeout, new TurnView(context.out, leaf));
}
