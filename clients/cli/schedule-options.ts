import { create } from "@bufbuild/protobuf";
import { GatePolicySchema, type LeafSpec, MissedFires, OverlappingFires, type Schedule } from "@serverless-harness/proto/leaf";
import { type Command, InvalidArgumentError } from "commander";
import type { CommonOptions } from "./context.ts";
import { labels, tools, wholeNumber } from "./parse.ts";
import { addWorkOptions, type WorkOptions, workFields } from "./work-options.ts";

const MISSED = { skip: MissedFires.SKIP, last: MissedFires.CATCH_UP, all: MissedFires.ALL } as const;
const OVERLAP = { allow: OverlappingFires.ALLOW, skip: OverlappingFires.SKIP, queue: OverlappingFires.QUEUE } as const;

/** Options that say when a schedule fires, and what it submits. */
export interface ScheduleOptions extends CommonOptions, WorkOptions {
  readonly cron?: string;
  readonly prompt?: string;
  readonly zone?: string;
  readonly missed?: MissedFires;
  readonly maxMissed?: number;
  readonly missedAfter?: number;
  readonly overlap?: OverlappingFires;
  readonly jitter?: number;
  readonly start?: number;
  readonly end?: number;
  readonly maxFires?: number;
  readonly session?: string;
  readonly model?: string;
  readonly label?: Record<string, string>;
  readonly ask?: string[];
}

/** Add them to a command. */
export function addScheduleOptions(command: Command): Command {
  return addWorkOptions(command)
    .option("--zone <name>", "IANA time zone of the expression, as Europe/Berlin; default: UTC")
    .option("--missed <policy>", "fires that nobody could make in time: skip (default), last (one for all), all", choice(MISSED))
    .option("--max-missed <n>", "with --missed all: the latest so many; default: 10", wholeNumber(1, 100))
    .option("--missed-after <seconds>", "so late a fire counts as missed; default: 60", wholeNumber(1, 604_800))
    .option("--overlap <policy>", "while the leaf of an earlier fire is not over: allow (default), skip, queue", choice(OVERLAP))
    .option("--jitter <seconds>", "delay each fire by up to this; default: 0", wholeNumber(0, 3600))
    .option("--start <time>", "no fire before this time, as 2026-12-01T00:00:00Z", time)
    .option("--end <time>", "no fire at or after this time", time)
    .option("--max-fires <n>", "not more fires than this; 0 (default): no bound", wholeNumber(0, Number.MAX_SAFE_INTEGER))
    .option("--session <id>", "session of the leaves, as run-__FIRE__; default: a new one each")
    .option("--model <provider/model>", "of the leaves; default: the stack's")
    .option("--label <key=value>", "a label of the leaves; may be repeated", labels)
    .option("--ask <tool>", "each call of this tool waits for `leaf approve`; may be repeated", tools);
}

/** What they come to in a schedule, beside its leaf. */
export function timeFields(options: ScheduleOptions): Partial<Omit<Schedule, "$typeName" | "$unknown">> {
  const { cron, zone, missed, maxMissed, missedAfter, overlap, jitter, start, end, maxFires } = options;
  return {
    ...(cron === undefined ? {} : { cron }),
    ...(zone === undefined ? {} : { timeZone: zone }),
    ...(missed === undefined ? {} : { missed }),
    ...(maxMissed === undefined ? {} : { maxMissed }),
    ...(missedAfter === undefined ? {} : { missedAfterMs: BigInt(missedAfter) * 1000n }),
    ...(overlap === undefined ? {} : { overlap }),
    ...(jitter === undefined ? {} : { jitterMs: BigInt(jitter) * 1000n }),
    ...(start === undefined ? {} : { startMs: BigInt(start) }),
    ...(end === undefined ? {} : { endMs: BigInt(end) }),
    ...(maxFires === undefined ? {} : { maxFires: BigInt(maxFires) }),
  };
}

/** What they come to in its leaf, beside the prompt; what was not said is not there. Throws where they don't go together. */
export async function leafFields(options: ScheduleOptions): Promise<Partial<Omit<LeafSpec, "$typeName" | "$unknown">>> {
  const { session, model, label, ask } = options;
  const { kind, ...work } = await workFields(options);
  const isSaid = options.task === true || options.schema !== undefined || options.solve === true;
  return {
    ...work,
    ...(isSaid ? { kind } : {}),
    ...(session === undefined ? {} : { sessionId: session }),
    ...(model === undefined ? {} : { model }),
    ...(label === undefined ? {} : { labels: label }),
    ...(ask === undefined ? {} : { gates: create(GatePolicySchema, { tools: ask.map((tool) => ({ tool })) }) }),
  };
}

function choice<T>(values: Readonly<Record<string, T>>): (text: string) => T {
  return (text) => {
    const found = Object.entries(values).find(([name]) => name === text);
    if (found === undefined) throw new InvalidArgumentError(`It must be one of ${Object.keys(values).join(", ")}.`);
    return found[1];
  };
}

function time(text: string): number {
  const found = /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(found)) return found;
  throw new InvalidArgumentError("It must be a time in ISO 8601, as 2026-12-01T00:00:00Z or 2026-12-01T00:00:00+01:00.");
}
