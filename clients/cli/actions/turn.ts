import { create } from "@bufbuild/protobuf";
import { LeafSpecSchema } from "@serverless-harness/proto/leaf";
import type { TurnOptions } from "../commands/turn.ts";
import type { Context } from "../context.ts";
import type { ExitCode } from "../exit-codes.ts";
import { followToEnd } from "../follow-to-end.ts";
import { readImages } from "../images.ts";
import { readText } from "../parse.ts";
import { sessionFields } from "../session-options.ts";
import { submitLeaf } from "../submit-leaf.ts";
import { TurnView } from "../view/turn-view.ts";

/** Does `leaf turn`. */
export async function runTurn(context: Context, [argument = ""]: readonly string[], options: TurnOptions): Promise<ExitCode> {
  const prompt = await readText("prompt", argument);
  const images = await readImages(options.image);
  const spec = create(LeafSpecSchema, { ...sessionFields(options), prompt, images, model: options.model ?? "" });
  const { leaf } = await submitLeaf(context, spec);
  return await followToEnd(context, leaf, 0n, options.timeout, new TurnView(context.out, leaf));
}
