import { create } from "@bufbuild/protobuf";
import { GatePolicySchema, LeafSpecSchema } from "@serverless-harness/proto/leaf";
import type { Command } from "commander";
import { define } from "../command.ts";
import type { CommonOptions } from "../context.ts";
import { readImages } from "../options/images.ts";
import {
  addPromptOptions,
  addWorkOptions,
  type PromptOptions,
  sessionFields,
  submitLeaf,
  type WorkOptions,
  workFields,
} from "../options/leaf.ts";
import { addPlacementOptions, type PlacementOptions, placementFields } from "../options/placement.ts";
import { labels, readText, tools } from "../options/values.ts";
import { requireCloned } from "../stack/repositories.ts";
import { leafJson } from "../view/leaf-text.ts";

interface SubmitOptions extends CommonOptions, PromptOptions, WorkOptions, PlacementOptions {
  readonly model?: string;
  readonly label?: Record<string, string>;
  readonly key?: string;
  readonly ask?: string[];
}

/** Tools that change files by themselves, and tools that run commands, which can change files as well. */
const CHANGE: ReadonlySet<string> = new Set(["write", "edit"]);
const COMMANDS: ReadonlySet<string> = new Set(["bash", "terminal", "*"]);

/** `leaf submit`: queue a leaf and don't wait. */
export function add(command: Command): void {
  define<SubmitOptions>(command, {
    options: (given) =>
      addPlacementOptions(addPromptOptions(addWorkOptions(given)))
        .option("--model <provider/model>", "for this leaf only; default: the stack's")
        .option("--label <key=value>", "a label for `leaf list`; may be repeated", labels)
        .option("--ask <tool>", "each call of this tool waits for `leaf approve`; may be repeated", tools)
        .option("--key <key>", "idempotency key: the same key makes no second leaf"),
    run: async (context, [argument = ""], options) => {
      const { out } = context;
      const { repo, model = "", label = {}, ask = [], key } = options;
      if (repo !== undefined && context.config.url === undefined) requireCloned(context.paths, repo.url);
      const prompt = await readText("prompt", argument);
      const images = await readImages(options.image);
      const work = await workFields(options);
      const fields = { ...sessionFields(options), ...work, ...placementFields(options), prompt, images, model, labels: label };
      const spec = create(LeafSpecSchema, fields);
      if (ask.length > 0) spec.gates = create(GatePolicySchema, { tools: ask.map((tool) => ({ tool })) });
      if (ask.some((tool) => CHANGE.has(tool)) && !ask.some((tool) => COMMANDS.has(tool)))
        out.warn("commands can change files as well, and none of them waits: add --ask bash if they are to wait");
      const { leaf, created } = await submitLeaf(context, spec, key);
      out.answer({ leaf: leafJson(leaf), created }, leaf.leafId);
      out.note(created ? `session ${leaf.spec?.sessionId}` : "this key was used before: this is its leaf, no new one was made");
    },
  });
}
