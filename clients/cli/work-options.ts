import { isUtf8 } from "node:buffer";
import { readFile } from "node:fs/promises";
import { create, type JsonObject } from "@bufbuild/protobuf";
import { LeafKind, type LeafSpec, LimitsSchema, type Repository, RepositorySchema, ThinkingLevel } from "@serverless-harness/proto/leaf";
import { type Command, InvalidArgumentError } from "commander";
import { CliError } from "./errors.ts";
import { ExitCode } from "./exit-codes.ts";
import { wholeNumber } from "./parse.ts";
import { repositoryAt } from "./stack/repositories.ts";

const LEVELS = { off: ThinkingLevel.OFF, low: ThinkingLevel.LOW, medium: ThinkingLevel.MEDIUM, high: ThinkingLevel.HIGH } as const;

/** Largest file of JSON that is read, in bytes: what a leaf may be given to work on. */
const MAX_JSON_BYTES = 1024 * 1024;

/** Options that say what kind of work a leaf is, on what, and how much it may cost. */
export interface WorkOptions {
  readonly task?: boolean;
  readonly schema?: string;
  readonly input?: string;
  readonly solve?: boolean;
  readonly repo?: Repository;
  readonly deadline?: number;
  readonly maxTokens?: number;
  readonly thinking?: ThinkingLevel;
}

/** Add them to a command. */
export function addWorkOptions(command: Command): Command {
  return command
    .option("--task", "bring a structured result: a verdict, or what --schema says")
    .option("--schema <file>", "JSON Schema of a task's result")
    .option("--input <file>", "JSON that a task works on")
    .option("--solve", "bring what was changed in --repo, as a patch")
    .option(
      "--repo <url[#ref]>",
      "work in what this git repository has committed, at a branch, tag or commit; also by a path, as . or ../other",
      repository,
    )
    .option("--deadline <seconds>", "fail where it takes longer", wholeNumber(1, 1_000_000))
    .option("--max-tokens <number>", "fail where it takes more, in and out", wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .option("--thinking <level>", `how much the model thinks: ${Object.keys(LEVELS).join(", ")}`, level);
}

/** What they come to in a spec. Throws where they don't go together, or a file can't be used. */
export async function workFields(options: WorkOptions): Promise<Partial<Omit<LeafSpec, "$typeName" | "$unknown">>> {
  const { schema, input, repo, deadline = 0, maxTokens = 0, thinking } = options;
  const kind = kindOf(options);
  return {
    kind,
    ...(schema === undefined ? {} : { outputSchema: await readJson("--schema", schema) }),
    ...(input === undefined ? {} : { input: await readJson("--input", input) }),
    ...(repo === undefined ? {} : { repository: repo }),
    ...(thinking === undefined ? {} : { thinking }),
    ...(deadline + maxTokens === 0
      ? {}
      : { limits: create(LimitsSchema, { deadlineMs: BigInt(deadline) * 1000n, maxTokens: BigInt(maxTokens) }) }),
  };
}

function kindOf({ task, schema, input, solve, repo }: WorkOptions): LeafKind {
  const isTask = task === true || schema !== undefined;
  if (isTask && solve === true) throw misused("a leaf is a task or a solve: leave --solve out, or --task and --schema");
  if (input !== undefined && !isTask) throw misused("--input is for a task: add --task or --schema");
  if (solve === true && repo === undefined) throw misused("--solve needs --repo, as --repo https://example.com/project.git#main");
  if (isTask) return LeafKind.TASK;
  return solve === true ? LeafKind.SOLVE : LeafKind.TURN;
}

/** Reads `URL`, `PATH`, or one of them with `#REF`. */
function repository(text: string): Repository {
  const at = text.lastIndexOf("#");
  const [url, ref] = at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
  if (url === "") throw new InvalidArgumentError("It must be a repository's address, or ADDRESS#REF.");
  return create(RepositorySchema, { url: repositoryAt(url) ?? url, ref });
}

function level(text: string): ThinkingLevel {
  const found = Object.entries(LEVELS).find(([name]) => name === text);
  if (found === undefined) throw new InvalidArgumentError(`It must be one of ${Object.keys(LEVELS).join(", ")}.`);
  return found[1];
}

async function readJson(option: string, name: string): Promise<JsonObject> {
  const bytes = await readFile(name).catch(() => undefined);
  if (bytes === undefined) throw misused(`${option}: ${name} can't be read`);
  if (!isUtf8(bytes)) throw misused(`${option}: ${name} is no UTF-8 text`);
  const text = bytes.toString("utf8");
  if (bytes.length > MAX_JSON_BYTES) throw misused(`${option}: ${name} has over ${MAX_JSON_BYTES} bytes`);
  const value = parsed(text);
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw misused(`${option}: ${name} has to hold one JSON object`);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function misused(message: string): CliError {
  return new CliError(ExitCode.usage, "options_unusable", message);
}
