import { isUtf8 } from "node:buffer";
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import {
  ForkSchema,
  type Leaf,
  LeafKind,
  LeafSchema,
  type LeafSpec,
  type LeafSpecSchema,
  LimitsSchema,
  type Repository,
  RepositorySchema,
  ThinkingLevel,
} from "@serverless-harness/proto/leaf";
import { type Command, InvalidArgumentError } from "commander";
import type { Context } from "../context.ts";
import { callError, withDispatcher } from "../dispatcher/call.ts";
import { CliError, ExitCode } from "../errors.ts";
import { parseJson } from "../json.ts";
import { repositoryAt } from "../stack/repositories.ts";
import { choice, milliseconds, repeated, said, wholeNumber } from "./values.ts";

const LEVELS = { off: ThinkingLevel.OFF, low: ThinkingLevel.LOW, medium: ThinkingLevel.MEDIUM, high: ThinkingLevel.HIGH } as const;

/** Largest file of JSON that is read, in bytes: the most that a leaf may get as its input. */
const MAX_JSON_BYTES = 1024 * 1024;

/** Options of a leaf that is submitted once: its session, and the pictures of its prompt. */
export interface PromptOptions {
  readonly session?: string;
  readonly fork?: ForkOption;
  readonly image?: string[];
}

/** A point in a session. */
interface ForkOption {
  readonly sessionId: string;
  /** Empty: the newest. */
  readonly entryId: string;
}

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

/** Add {@link PromptOptions} to a command. */
export function addPromptOptions(command: Command): Command {
  return command
    .option("--session <id>", "continue this session; default: a new one")
    .option(
      "--fork <session[@entry]>",
      "begin a session with a copy of another one, up to an answer or to its newest; --session names it",
      forkPoint,
    )
    .option("--image <file>", "a picture that goes with the prompt; may be repeated", repeated);
}

/** Add {@link WorkOptions} to a command. */
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
    .option("--deadline <seconds>", "fail if it takes longer", wholeNumber(1, 1_000_000))
    .option("--max-tokens <number>", "fail if it takes more, in and out", wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .option("--thinking <level>", `how much the model thinks: ${Object.keys(LEVELS).join(", ")}`, choice(LEVELS));
}

/** Reads `SESSION` or `SESSION@ENTRY`: names of sessions hold no @. */
function forkPoint(text: string): ForkOption {
  const [, sessionId, entryId = ""] = /^([^@]+)(?:@(.+))?$/.exec(text) ?? [];
  if (sessionId === undefined) throw new InvalidArgumentError("It must be a session, or SESSION@ENTRY.");
  return { sessionId, entryId };
}

/** Reads `URL`, `PATH`, or one of them with `#REF`. */
function repository(text: string): Repository {
  const at = text.lastIndexOf("#");
  const [url, ref] = at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
  if (url === "") throw new InvalidArgumentError("It must be a repository's address, or ADDRESS#REF.");
  return create(RepositorySchema, { url: repositoryAt(url) ?? url, ref });
}

/** The session in a spec. A session that is continued must exist, one that a fork begins must not. */
export function sessionFields({ session, fork }: PromptOptions): MessageInitShape<typeof LeafSpecSchema> {
  if (fork !== undefined) return { sessionId: session ?? "", fork: create(ForkSchema, fork) };
  return session === undefined ? {} : { sessionId: session, sessionMustExist: true };
}

/** The work in a spec. Throws if the options contradict each other, or a file can't be used. */
export async function workFields(options: WorkOptions): Promise<Partial<Omit<LeafSpec, "$typeName" | "$unknown">>> {
  const { schema, input, repo: repository, deadline, maxTokens, thinking } = options;
  const kind = kindOf(options);
  const outputSchema = schema === undefined ? undefined : await readJson("--schema", schema);
  const json = input === undefined ? undefined : await readJson("--input", input);
  const isLimited = deadline !== undefined || maxTokens !== undefined;
  const limits = isLimited
    ? create(LimitsSchema, { deadlineMs: milliseconds(deadline) ?? 0n, maxTokens: BigInt(maxTokens ?? 0) })
    : undefined;
  return { kind, ...said({ outputSchema, input: json, repository, thinking, limits }) };
}

function kindOf({ task, schema, input, solve, repo }: WorkOptions): LeafKind {
  const isTask = task === true || schema !== undefined;
  if (isTask && solve === true) throw misused("a leaf is a task or a solve: leave --solve out, or --task and --schema");
  if (input !== undefined && !isTask) throw misused("--input is for a task: add --task or --schema");
  if (solve === true && repo === undefined) throw misused("--solve needs --repo, as --repo https://example.com/project.git#main");
  if (isTask) return LeafKind.TASK;
  return solve === true ? LeafKind.SOLVE : LeafKind.TURN;
}

async function readJson(option: string, name: string): Promise<JsonObject> {
  const bytes = await readFile(name).catch(() => undefined);
  if (bytes === undefined) throw misused(`${option}: ${name} can't be read`);
  if (!isUtf8(bytes)) throw misused(`${option}: ${name} is no UTF-8 text`);
  if (bytes.length > MAX_JSON_BYTES) throw misused(`${option}: ${name} has over ${MAX_JSON_BYTES} bytes`);
  const value = parseJson(bytes.toString("utf8"));
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw misused(`${option}: ${name} has to hold one JSON object`);
}

function misused(message: string): CliError {
  return new CliError(ExitCode.usage, "options_unusable", message);
}

/** Submit a leaf, under a random key unless the user names one. */
export async function submitLeaf(
  context: Context,
  spec: LeafSpec,
  idempotencyKey: string = randomUUID(),
): Promise<{ leaf: Leaf; created: boolean }> {
  try {
    const { leaf, created } = await withDispatcher(context, ({ leaves }) => leaves.submit({ spec, idempotencyKey }));
    return { leaf: leaf ?? create(LeafSchema), created };
  } catch (error) {
    const known = callError(error);
    if (known.reason !== "session_not_found") throw known;
    const session = spec.fork?.sessionId ?? spec.sessionId;
    const message = `there is no session ${session}: \`leaf list\` shows those that exist; leave out --session and --fork for a new one`;
    throw new CliError(known.exitCode, known.reason, message, error);
  }
}
