import { create } from "@bufbuild/protobuf";
import { LeafSpecSchema } from "@serverless-harness/proto/leaf";
import type { Command } from "commander";
import { addCommand } from "../command.ts";
import type { CommonOptions, Context } from "../context.ts";
import { ExitCode } from "../exit-codes.ts";
import { labels, readPrompt } from "../parse.ts";
import { submitLeaf } from "../submit-leaf.ts";
import { leafJson } from "../view/leaf-text.ts";

interface Options extends CommonOptions {
  readonly session?: string;
  readonly model?: string;
  readonly label?: Record<string, string>;
  readonly key?: string;
}

/** `leaf submit`: queue a leaf and don't wait. */
export function addSubmit(program: Command): void {
  addCommand<Options>(program, {
    name: "submit",
    usage: "<prompt>",
    summary: "queue a leaf, and print its id without waiting",
    options: (command) =>
      command
        .option("--session <id>", "go on with this session; default: a new one")
        .option("--model <provider/model>", "for this leaf only; default: the stack's")
        .option("--label <key=value>", "a label for `leaf list`; may be repeated", labels)
        .option("--key <key>", "idempotency key: the same key makes no second leaf"),
    run: runSubmit,
  });
}

async function runSubmit(context: Context, [argument = ""]: readonly string[], options: Options): Promise<ExitCode> {
  const prompt = await readPrompt(argument);
  const spec = create(LeafSpecSchema, { prompt, model: options.model ?? "", labels: options.label ?? {} });
  if (options.session !== undefined) Object.assign(spec, { sessionId: options.session, sessionMustExist: true });
  const { leaf, created } = await submitLeaf(context, spec, options.key);
  if (context.out.json) context.out.document({ leaf: leafJson(leaf), created });
  else {
    context.out.line(leaf.leafId);
    context.out.note(created ? `session ${leaf.spec?.sessionId}` : "this key was used before: that leaf is shown, none was made");
  }
  return ExitCode.ok;
}
