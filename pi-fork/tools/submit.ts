import type { AgentHarnessTool } from "@earendil-works/pi-agent-core";
import { isDeeper, isUnicode, MAX_JSON_DEPTH } from "@serverless-harness/kit/json-limits";
import { compileSchema, type ObjectSchema } from "@serverless-harness/kit/json-schema";
import { type TSchema, Type } from "typebox";
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
  const check = compileSchema(schema);
  return {
    name: tool,
    label: tool,
    description: description(schema),
    parameters: Type.Unsafe(schema),
    // In front of Pi's own look at the arguments, which would make a text of a null and a number of a text.
    prepareArguments(args) {
      const problems = [...unreadable(args), ...check(args)];
      if (problems.length > 0) throw new Error(refusal(tool, problems));
      return args;
    },
    async execute(_toolCallId, params) {
      const value = params as Submission["value"];
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
  const problems = [];
  if (Buffer.byteLength(JSON.stringify(args)) > MAX_RESULT_BYTES)
    problems.push(`the result: must be at most ${MAX_RESULT_BYTES} bytes as JSON`);
  if (!isUnicode(args)) problems.push("the result: must be valid Unicode");
  return problems;
}

function refusal(tool: string, problems: readonly string[]): string {
  return `The result was not taken, it does not match the schema:\n${problems.map((problem) => `- ${problem}`).join("\n")}\nCall ${tool} again with all of it mended.`;
}
