import { ApiError } from "./api-error.ts";
import { integer, type JsonObject, list, number, object, onlyKeys, text, wrong } from "./checks.ts";

/** A tool call that a step makes. */
export interface ScriptTool {
  readonly name: string;
  readonly input: JsonObject;
  /** Default: made from the transcript. */
  readonly id?: string;
}

/** An answer that is an error, for the first `times` requests with the same transcript. */
export interface ScriptFail {
  readonly status: number;
  readonly type?: string;
  /** Default: says that it is scripted. */
  readonly message?: string;
  /** Seconds. */
  readonly retryAfter?: number;
  readonly times: number;
}

/** A connection that breaks behind `afterChunks` pieces of the answer, for the first `times` requests with the same transcript. */
export interface ScriptCut {
  readonly afterChunks: number;
  readonly times: number;
}

/** Token counts that replace the estimated ones. */
export interface ScriptUsage {
  readonly input_tokens?: number;
  readonly output_tokens?: number;
  readonly cache_read_input_tokens?: number;
  readonly cache_creation_input_tokens?: number;
}

/** One answer of a script. README.md tells the meaning and default of each. */
export interface Step {
  readonly text?: string;
  readonly thinking?: string;
  readonly tools: readonly ScriptTool[];
  readonly delayMs: number;
  readonly chunkChars: number;
  readonly chunkDelayMs: number;
  readonly stopReason?: string;
  readonly usage: ScriptUsage;
  readonly fail?: ScriptFail;
  readonly cut?: ScriptCut;
  /** Requests with the same transcript that get no answer at all. */
  readonly hold?: number;
  /** A regular expression with one group. */
  readonly recall?: string;
}

/** Characters of a streamed piece where a step does not say: some ten tokens. */
export const DEFAULT_CHUNK_CHARS = 40;
const HOUR_MS = 3_600_000;
const FENCE = "```";
const STEP_KEYS = [
  "text",
  "thinking",
  "tools",
  "delay_ms",
  "chunk_chars",
  "chunk_delay_ms",
  "stop_reason",
  "usage",
  "fail",
  "cut",
  "hold",
  "recall",
];
const STOP_REASONS = ["end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal"];
const USAGE_KEYS = ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"];

/** What a prompt makes the model do. */
export interface Script {
  readonly steps: readonly Step[];
  /** Messages of the user that it answers, its own included. */
  readonly prompts: number;
  /** Steps that were answered by messages which the transcript does not hold any more. */
  readonly done: number;
  /** Largest request in tokens, by the rough count; a larger one is refused. */
  readonly window: number;
  /** How a request for a summary is answered, but for the text. */
  readonly summary: Step;
}

const SCRIPT_KEYS = ["steps", "prompts", "done", "window", "summary"];
const START = new RegExp(`${FENCE}script\\s`);

/** The script in a prompt; `undefined` where there is none. Throws a 400 that says what is wrong with it. */
export function readScript(prompt: string): Script | undefined {
  const start = START.exec(prompt);
  if (start === null) return undefined;
  const from = start.index + start[0].length;
  const end = prompt.indexOf(FENCE, from);
  if (end < 0) throw wrong("script", `its closing ${FENCE} is missing`);
  const script = object("script", parseJson(prompt.slice(from, end)));
  onlyKeys("script", script, SCRIPT_KEYS);
  const steps = list("script.steps", script["steps"]);
  if (steps.length === 0) throw wrong("script.steps", "needs at least one step");
  return {
    steps: steps.map((step, index) => readStep(`script.steps.${index}`, object(`script.steps.${index}`, step))),
    prompts: integer("script.prompts", script["prompts"] ?? 1, 1, 1000),
    done: integer("script.done", script["done"] ?? 0, 0, 1_000_000),
    window: integer("script.window", script["window"] ?? 1e9, 1, 1e9),
    summary: readStep("script.summary", { text: "-", ...object("script.summary", script["summary"] ?? {}) }),
  };
}

function parseJson(source: string): unknown {
  try {
    return JSON.parse(source);
  } catch (error) {
    throw new ApiError(400, `script: not valid JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function readStep(name: string, step: JsonObject): Step {
  onlyKeys(name, step, STEP_KEYS);
  /** Read a key that is there. */
  const read = <T>(key: string, reader: (name: string, value: unknown) => T): T | undefined =>
    step[key] === undefined ? undefined : reader(`${name}.${key}`, step[key]);
  const parsed: Step = {
    tools: read("tools", (at, value) => list(at, value).map((tool, index) => readTool(`${at}.${index}`, tool))) ?? [],
    delayMs: read("delay_ms", (at, value) => number(at, value, 0, HOUR_MS)) ?? 0,
    chunkChars: read("chunk_chars", (at, value) => integer(at, value, 1, 1_000_000)) ?? DEFAULT_CHUNK_CHARS,
    chunkDelayMs: read("chunk_delay_ms", (at, value) => number(at, value, 0, HOUR_MS)) ?? 0,
    usage: read("usage", readUsage) ?? {},
    ...optional("text", read("text", text)),
    ...optional("thinking", read("thinking", text)),
    ...optional("stopReason", read("stop_reason", readStopReason)),
    ...optional("fail", read("fail", readFail)),
    ...optional("cut", read("cut", readCut)),
    ...optional(
      "hold",
      read("hold", (at, value) => integer(at, value, 1, 1_000_000)),
    ),
    ...optional("recall", read("recall", readRecall)),
  };
  checkSaysSomething(name, parsed);
  return parsed;
}

/** An empty answer leaves no message in the transcript, so that the script would never move on. */
function checkSaysSomething(name: string, step: Step): void {
  const says = (step.text ?? "").trim() !== "" || (step.thinking ?? "").trim() !== "" || step.tools.length > 0;
  const fails = step.fail?.times === Number.POSITIVE_INFINITY;
  if (!says && !fails) throw wrong(name, "needs text, thinking or tools to answer with");
}

function readTool(name: string, value: unknown): ScriptTool {
  const tool = object(name, value);
  onlyKeys(name, tool, ["name", "input", "id"]);
  return {
    name: text(`${name}.name`, tool["name"]),
    input: object(`${name}.input`, tool["input"] ?? {}),
    ...optional("id", tool["id"] === undefined ? undefined : text(`${name}.id`, tool["id"])),
  };
}

function readFail(name: string, value: unknown): ScriptFail {
  const fail = object(name, value);
  onlyKeys(name, fail, ["status", "retry_after", "times", "type", "message"]);
  return {
    status: integer(`${name}.status`, fail["status"], 400, 599),
    times: readTimes(name, fail),
    ...optional("type", fail["type"] === undefined ? undefined : text(`${name}.type`, fail["type"])),
    ...optional("message", fail["message"] === undefined ? undefined : text(`${name}.message`, fail["message"])),
    ...optional(
      "retryAfter",
      fail["retry_after"] === undefined ? undefined : number(`${name}.retry_after`, fail["retry_after"], 0, HOUR_MS / 1000),
    ),
  };
}

function readCut(name: string, value: unknown): ScriptCut {
  const cut = object(name, value);
  onlyKeys(name, cut, ["after_chunks", "times"]);
  return { afterChunks: integer(`${name}.after_chunks`, cut["after_chunks"] ?? 1, 0, 1_000_000), times: readTimes(name, cut) };
}

function readTimes(name: string, value: JsonObject): number {
  return value["times"] === undefined ? Number.POSITIVE_INFINITY : integer(`${name}.times`, value["times"], 1, 1_000_000);
}

function readStopReason(name: string, value: unknown): string {
  const reason = text(name, value);
  if (!STOP_REASONS.includes(reason)) throw wrong(name, `must be one of ${STOP_REASONS.join(", ")}`);
  return reason;
}

function readUsage(name: string, value: unknown): ScriptUsage {
  const usage = object(name, value);
  onlyKeys(name, usage, USAGE_KEYS);
  for (const key of Object.keys(usage)) integer(`${name}.${key}`, usage[key], 0, 1e9);
  return usage;
}

function readRecall(name: string, value: unknown): string {
  const source = text(name, value);
  let groups: number;
  try {
    groups = (new RegExp(`${source}|`).exec("")?.length ?? 1) - 1;
  } catch (error) {
    throw wrong(name, `not a regular expression: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (groups !== 1) throw wrong(name, `must have exactly one group, has ${groups}`);
  return source;
}

function optional<K extends string, T>(key: K, value: T | undefined): { readonly [P in K]?: T } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]?: T });
}
