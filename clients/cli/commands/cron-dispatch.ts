import { readFile } from "node:fs/promises";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { type LeafSpec, LeafSpecSchema } from "@serverless-harness/proto/leaf";
import type { Command } from "commander";
import { define } from "../command.ts";
import type { CommonOptions, Context } from "../context.ts";
import { type DispatcherAddress, findDispatcher } from "../dispatcher/address.ts";
import { callError, type Dispatcher, withDispatcher } from "../dispatcher/call.ts";
import { askOverHttp, unreachable } from "../dispatcher/http.ts";
import { CliError, ExitCode } from "../errors.ts";
import { parseJson } from "../json.ts";
import { firstLine } from "../view/format.ts";

const PLACEHOLDER = "__FIRE__";
/** Queueing an envelope takes no time; a dispatcher that hangs must not keep the others from being tried. */
const TIMEOUT_MS = 30_000;

type JsonObject = { readonly [name: string]: JsonValue };

interface CronDispatchOptions extends CommonOptions {
  readonly fire?: string;
}

/** What became of an item. */
interface Outcome {
  readonly item: number;
  /** What the item calls itself. */
  readonly name?: string;
  readonly accepted: boolean;
  readonly leafId?: string;
  /** Why it was refused. */
  readonly error?: string;
}

/** `leaf cron-dispatch`: submit what a file lists, from a cron of the caller's own. */
export function add(command: Command): void {
  define<CronDispatchOptions>(command, {
    description:
      'The file holds {"items": [...]}. An item is {"spec": {...}}, a leaf as the API takes it, or an envelope of POST /runs. `__FIRE__` in any text of it stands for the fire. Every item is tried; the exit code is 1 if one was refused.',
    options: (given) =>
      given.option("--fire <id>", "the fire: a repeated one makes no second leaf; default: JOB_NAME, or one for this process"),
    run: cronDispatch,
  });
}

async function cronDispatch(context: Context, [file = ""]: readonly string[], options: CronDispatchOptions): Promise<void> {
  const { out } = context;
  const fire = options.fire ?? context.config.jobName ?? `manual-${process.pid}`;
  const items = await readItems(file);
  const address = findDispatcher(context);
  const outcomes: Outcome[] = [];
  await withDispatcher(context, async (dispatcher) => {
    for (const [index, item] of items.entries()) {
      const filled = replaced(item, fire);
      const outcome = { item: index + 1, ...nameOf(filled), ...(await dispatch(dispatcher, address, filled, `cron:${fire}:${index + 1}`)) };
      outcomes.push(outcome);
      const name = outcome.name === undefined ? "" : ` (${outcome.name})`;
      if (!outcome.accepted) out.warn(`item ${outcome.item}${name} refused: ${outcome.error}`);
    }
  });
  const accepted = outcomes.filter((outcome) => outcome.accepted).length;
  const failed = outcomes.length - accepted;
  if (items.length === 0) out.warn(`${file} lists no items: nothing was submitted`);
  const text = `cron-dispatch: ${accepted}/${outcomes.length} accepted, ${failed} failed (fire=${fire})`;
  out.answer({ fire, accepted, failed, items: outcomes }, text);
  if (failed > 0) process.exitCode = ExitCode.leafFailed;
}

/** Submit one item, a leaf or an envelope of `POST /runs`. Any problem is in the outcome; none is thrown. */
async function dispatch(
  { leaves }: Dispatcher,
  address: DispatcherAddress,
  item: JsonValue,
  key: string,
): Promise<Pick<Outcome, "accepted" | "leafId" | "error">> {
  const refused = (error: string): Pick<Outcome, "accepted" | "error"> => ({ accepted: false, error });
  if (!isObject(item)) return refused('an item has to be an object: a leaf as {"spec": {...}}, or an envelope of POST /runs');
  try {
    if (!("spec" in item)) return await post(address, item);
    const { spec, idempotencyKey = key, ...more } = item;
    const [unknown] = Object.keys(more);
    if (unknown !== undefined) return refused(`${unknown}: is no field of an item, which has spec and idempotencyKey`);
    if (typeof idempotencyKey !== "string") return refused("idempotencyKey: has to be a text");
    const { leaf } = await leaves.submit({ spec: specOf(spec), idempotencyKey });
    return { accepted: true, leafId: leaf?.leafId ?? "" };
  } catch (error) {
    return refused(callError(error).message);
  }
}

async function post(address: DispatcherAddress, envelope: JsonObject): Promise<Pick<Outcome, "accepted" | "error">> {
  const request = { method: "POST", path: "/runs", body: JSON.stringify({ ...envelope, async: true }), timeoutMs: TIMEOUT_MS } as const;
  const { status, body } = await askOverHttp(address, request).catch((error: Error) => {
    throw unreachable(address, error);
  });
  const answer = parseJson(body) as JsonValue | undefined;
  const accepted = status === 202 && isObject(answer) && answer["status"] === "accepted";
  return accepted ? { accepted } : { accepted, error: `HTTP ${status}${body === "" ? "" : ` ${firstLine(body, 200)}`}` };
}

function specOf(spec: JsonValue | undefined): LeafSpec {
  try {
    return fromJson(LeafSpecSchema, spec ?? {});
  } catch (error) {
    const why = error instanceof Error ? firstLine(error.message, 200) : String(error);
    throw new CliError(ExitCode.usage, "bad_item", `spec: ${why}`, error);
  }
}

async function readItems(file: string): Promise<readonly JsonValue[]> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw unusable(`${file} can't be read (${error.code})`);
  });
  const config = parseJson(text) as JsonValue | undefined;
  if (config === undefined) throw unusable(`${file} holds no JSON`);
  const items = isObject(config) ? config["items"] : undefined;
  if (!Array.isArray(items)) throw unusable(`${file} has to hold {"items": [...]}`);
  return items;
}

/** The fire's id in all texts of an item, at any depth; names stay. */
function replaced(value: JsonValue, fire: string): JsonValue {
  if (typeof value === "string") return value.replaceAll(PLACEHOLDER, () => fire);
  if (Array.isArray(value)) return value.map((each) => replaced(each, fire));
  return isObject(value) ? Object.fromEntries(Object.entries(value).map(([name, each]) => [name, replaced(each, fire)])) : value;
}

function nameOf(item: JsonValue): { name?: string } {
  if (!isObject(item)) return {};
  const spec = isObject(item["spec"]) ? item["spec"] : {};
  const name = item["sessionId"] ?? spec["sessionId"] ?? item["idempotencyKey"];
  return typeof name === "string" && name !== "" ? { name } : {};
}

function isObject(value: JsonValue | undefined): value is { [name: string]: JsonValue } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function unusable(message: string): CliError {
  return new CliError(ExitCode.usage, "bad_config", message);
}
