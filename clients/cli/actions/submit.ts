import { create } from "@bufbuild/protobuf";
import { GatePolicySchema, LeafSpecSchema } from "@serverless-harness/proto/leaf";
import type { SubmitOptions } from "../commands/submit.ts";
import type { Context } from "../context.ts";
import { ExitCode } from "../exit-codes.ts";
import { readImages } from "../images.ts";
import { readText } from "../parse.ts";
import { sessionFields } from "../session-options.ts";
import { requireCloned } from "../stack/repositories.ts";
import { submitLeaf } from "../submit-leaf.ts";
import { leafJson } from "../view/leaf-text.ts";
import { workFields } from "../work-options.ts";

/** What gates on changes of files name, and what holds commands too. */
const CHANGE: ReadonlySet<string> = new Set(["write", "edit"]);
const COMMANDS: ReadonlySet<string> = new Set(["bash", "terminal", "*"]);

/** Does `leaf submit`. */
export async function runSubmit(context: Context, [argument = ""]: readonly string[], options: SubmitOptions): Promise<ExitCode> {
  if (options.repo !== undefined && context.config.url === undefined) requireCloned(context.paths, options.repo.url);
  const prompt = await readText("prompt", argument);
  const images = await readImages(options.image);
  const spec = create(LeafSpecSchema, {
    ...sessionFields(options),
    ...(await workFields(options)),
    prompt,
    images,
    model: options.model ?? "",
    labels: options.label ?? {},
  });
  if (options.ask !== undefined) spec.gates = create(GatePolicySchema, { tools: options.ask.map((tool) => ({ tool })) });
  if (options.ask?.some((tool) => CHANGE.has(tool)) === true && !options.ask.some((tool) => COMMANDS.has(tool)))
    context.out.warn("commands can change files as well, and none of them waits: add --ask bash where they shall");
  const { leaf, created } = await submitLeaf(context, spec, options.key);
  if (context.out.json) context.out.document({ leaf: leafJson(leaf), created });
  else {
    context.out.line(leaf.leafId);
    context.out.note(created ? `session ${leaf.spec?.sessionId}` : "this key was used before: that leaf is shown, none was made");
  }
  return ExitCode.ok;
}
