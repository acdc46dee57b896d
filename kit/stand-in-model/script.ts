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

/** A connection that breaks after `afterChunks` pieces of the answer, for the first `times` requests with the same transcript. */
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

/** One answer of a script. README.md has the meaning and default of each key. */
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
  /** How many requests with the same transcript get no answer at all. */
  readonly hold?: number;
  /** A regular expression with one group. */
  readonly recall?: string;
}

/** Characters of a streamed piece if a step does not say: some ten tokens. */
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
  /** How many messages of the user it answers, its own included. */
  readonly prompts: number;
  /** How many steps were answered by messages that the transcript no longer has. */
  readonly done: number;
  /** Largest request in tokens, by the rough count; a larger one is refused. */
  readonly window: number;
  /** How a request for a summary is answered, without the text. */
  readonly summary: Step;
}

const SCRIPT_KEYS = ["steps", "prompts", "done", "window", "summary"];
const START = new RegExp(`${FENCE}script\\s`);

/** The script in a prompt; `undefined` if there is none. Throws a 400 that says what is wrong with it. */
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
  const read = reader(name, step);
  const delay = (at: string, value: unknown): number => number(at, value, 0, HOUR_MS);
  const parsed: Step = {
    tools: read("tools", (at, value) => list(at, value).map((tool, index) => readTool(`${at}.${index}`, tool))) ?? [],
    delayMs: read("delay_ms", delay) ?? 0,
    chunkChars: read("chunk_chars", count) ?? DEFAULT_CHUNK_CHARS,
    chunkDelayMs: read("chunk_delay_ms", delay) ?? 0,
    usage: read("usage", readUsage) ?? {},
    ...given({
      text: read("text", text),
      thinking: read("thinking", text),
      stopReason: read("stop_reason", readStopReason),
      fail: read("fail", readFail),
      cut: read("cut", readCut),
      hold: read("hold", count),
      recall: read("recall", readRecall),
    }),
  };
  checkSaysSomething(name, parsed);
  return parsed;
}

function count(name: string, value: unknown): number {
  return integer(name, value, 1, 1_000_000);
}

/** Reads the keys that an object has; `undefined` for the others. */
function reader(name: string, value: JsonObject): <T>(key: string, read: (name: string, value: unknown) => T) => T | undefined {
  return (key, read) => (value[key] === undefined ? undefined : read(`${name}.${key}`, value[key]));
}

/** These fields without those that are undefined. */
function given<T extends object>(fields: T): { readonly [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as ReturnType<typeof given<T>>;
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
    ...given({ id: reader(name, tool)("id", text) }),
  };
}

function readFail(name: string, value: unknown): ScriptFail {
  const fail = object(name, value);
  onlyKeys(name, fail, ["status", "retry_after", "times", "type", "message"]);
  const read = reader(name, fail);
  const retryAfter = read("retry_after", (at, seconds) => number(at, seconds, 0, HOUR_MS / 1000));
  return {
    status: integer(`${name}.status`, fail["status"], 400, 599),
    times: readTimes(name, fail),
    ...given({ type: read("type", text), message: read("message", text), retryAfter }),
  };
}

function readCut(name: string, value: unknown): ScriptCut {
  const cut = object(name, value);
  onlyKeys(name, cut, ["after_chunks", "times"]);
  return { afterChunks: integer(`${name}.after_chunks`, cut["after_chunks"] ?? 1, 0, 1_000_000), times: readTimes(name, cut) };
}

function readTimes(name: string, value: JsonObject): number {
  return reader(name, value)("times", count) ?? Number.POSITIVE_INFINITY;
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
