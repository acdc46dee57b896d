import { create } from "@bufbuild/protobuf";
import { LeafSpecSchema } from "@serverless-harness/proto/leaf";
import type { Command } from "commander";
import { define } from "../command.ts";
import type { CommonOptions } from "../context.ts";
import { followToEnd } from "../dispatcher/follow.ts";
import { readImages } from "../options/images.ts";
import { addPromptOptions, type PromptOptions, sessionFields, submitLeaf } from "../options/leaf.ts";
import { addPlacementOptions, type PlacementOptions, placementFields } from "../options/placement.ts";
import { readText, wholeNumber } from "../options/values.ts";
import { TurnView } from "../view/turn-view.ts";

interface TurnOptions extends CommonOptions, PromptOptions, PlacementOptions {
  readonly model?: string;
  readonly timeout: number;
}

/** `leaf turn`: one prompt, followed to its answer. */
export function add(command: Command): void {
  define<TurnOptions>(command, {
    description:
      "The answer goes to stdout, tool calls and the rest to stderr. If this command is interrupted, the turn goes on in the background.",
    options: (given) =>
      addPlacementOptions(addPromptOptions(given))
        .option("--model <provider/model>", "for this turn only; default: the stack's")
        .option("--timeout <seconds>", "stop waiting after this long; 0: never", wholeNumber(0, 1_000_000), 0),
    run: async (context, [argument = ""], options) => {
      const prompt = await readText("prompt", argument);
      const images = await readImages(options.image);
      const fields = { ...sessionFields(options), ...placementFields(options), prompt, images, model: options.model ?? "" };
      const spec = create(LeafSpecSchema, fields);
      const { leaf } = await submitLeaf(context, spec);
      await followToEnd(context, leaf, 0n, options.timeout, new TurnView(context.out, leaf));
    },
  });
}
