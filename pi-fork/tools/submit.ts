import type { AgentHarnessTool } from "@earendil-works/pi-agent-core";
import type { Models, Tool } from "@earendil-works/pi-ai";
import { INEXACT_NUMBER, inexactNumber, isDeeper, isUnicode, MAX_JSON_DEPTH } from "@serverless-harness/kit/json-limits";
import type { ObjectSchema } from "@serverless-harness/kit/json-schema";
import { type TSchema, Type } from "typebox";
import { callerChecks } from "./caller-checks.ts";
import { type ToolContext, textResult } from "./tool.ts";

/** The structured result that an operation has to bring. */
export interface ResultWish {
  /** Name of the tool that the agent hands it in with. */
  readonly tool: string;
  /** What it has to match: a schema of an object that can be compiled. */
  readonly schema: ObjectSchema;
}

/** Largest result, as JSON: with the rest of its leaf it has to fit into the 4 MiB that gRPC clients take by default. */
const MAX_RESULT_BYTES = 1024 * 1024;

/** What the log keeps of a result that was handed in. */
export interface Submission {
  readonly value: Readonly<Record<string, unknown>>;
}

/** Keywords of a schema that every provider passes on to its model as they are. */
const PASSED_ON = new Set(["type", "properties", "required", "title", "description", "$schema", "$id"]);

/** Takes the result and ends the run. It touches nothing, so that it may be called again. */
export function createSubmitTool({ tool, schema }: ResultWish): AgentHarnessTool<ToolContext, TSchema, Submission> {
  return {
    name: tool,
    label: tool,
    description: description(schema),
    // Pi would look at the arguments itself, on the main loop, and make a text of a null and a number of a text. The model is shown the schema.
    parameters: Type.Unsafe({ type: "object" }),
    async execute(_toolCallId, params) {
      const value = params as Submission["value"];
      const problems = unreadable(value);
      if (problems.length === 0) problems.push(...(await mismatches(schema, value)));
      if (problems.length > 0) throw new Error(refusal(tool, problems));
      return { ...textResult("The result was taken.", { value }), terminate: true };
    },
  };
}

function description(schema: ObjectSchema): string {
  const text =
    "Hand in the result of the task, as the arguments of this call. Call it exactly once, when the task is done: nothing can be done " +
    "behind it. An answer in words is no result.";
  const lossy = Object.keys(schema).some((keyword) => !PASSED_ON.has(keyword));
  return lossy ? `${text} The arguments have to match this JSON Schema: ${JSON.stringify(schema)}` : text;
}

/** Why a result could not be kept, whatever its schema says. */
function unreadable(args: unknown): string[] {
  if (isDeeper(args)) return [`the result: must not have more than ${MAX_JSON_DEPTH} objects and lists in each other`];
  const problems: string[] = [];
  if (Buffer.byteLength(JSON.stringify(args)) > MAX_RESULT_BYTES)
    problems.push(`the result: must be at most ${MAX_RESULT_BYTES} bytes as JSON`);
  if (!isUnicode(args)) problems.push("the result: must be valid Unicode");
  if (hasProto(args)) problems.push("the result: must not have a property __proto__: readers of JSON lose it");
  const inexact = inexactNumber(args, "the result");
  if (inexact !== undefined) problems.push(`${inexact.path}: ${INEXACT_NUMBER}`);
  return problems;
}

function hasProto(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return Object.hasOwn(value, "__proto__") || Object.values(value).some(hasProto);
}

/** What is wrong with a result by its schema. A pattern, or schemas that refer to each other, can take for ever. */
async function mismatches(schema: ObjectSchema, value: unknown): Promise<string[]> {
  const looked = await callerChecks.run("valueProblems", schema, value);
  return looked?.value ?? ["the result: can't be matched against the schema in time"];
}

/** The models, with the schema of the result shown to them as the parameters of the tool that takes it. */
export function showingSchema(models: Models, wish: ResultWish | undefined): Models {
  if (wish === undefined) return models;
  const shown = (tools: Tool[] | undefined) =>
    tools?.map((tool) => (tool.name === wish.tool ? { ...tool, parameters: Type.Unsafe(wish.schema) } : tool));
  const streamSimple: Models["streamSimple"] = (model, context, options) => {
    const tools = shown(context.tools);
    return models.streamSimple(model, tools === undefined ? context : { ...context, tools }, options);
  };
  return Object.assign(Object.create(models) as Models, { streamSimple });
}

function refusal(tool: string, problems: readonly string[]): string {
  return `The result was not taken, it does not match the schema:\n${problems.map((problem) => `- ${problem}`).join("\n")}\nCall ${tool} again with all of it mended.`;
}
