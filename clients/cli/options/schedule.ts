import { create } from "@bufbuild/protobuf";
import { GatePolicySchema, type LeafSpec, MissedFires, OverlappingFires, type Schedule } from "@serverless-harness/proto/leaf";
import { type Command, InvalidArgumentError } from "commander";
import type { CommonOptions } from "../context.ts";
import { addWorkOptions, type WorkOptions, workFields } from "./leaf.ts";
import { addPlacementOptions, type PlacementOptions } from "./placement.ts";
import { choice, labels, milliseconds, said, tools, wholeNumber } from "./values.ts";

const MISSED = { skip: MissedFires.SKIP, last: MissedFires.CATCH_UP, all: MissedFires.ALL } as const;
const OVERLAP = { allow: OverlappingFires.ALLOW, skip: OverlappingFires.SKIP, queue: OverlappingFires.QUEUE } as const;

const count = wholeNumber(0, Number.MAX_SAFE_INTEGER);

/** Options that say when a schedule fires, and what it submits. */
export interface ScheduleOptions extends CommonOptions, WorkOptions, PlacementOptions {
  readonly cron?: string;
  readonly prompt?: string;
  readonly zone?: string;
  readonly missed?: MissedFires;
  readonly maxMissed?: number;
  readonly missedAfter?: number;
  readonly overlap?: OverlappingFires;
  readonly jitter?: number;
  readonly start?: bigint;
  readonly end?: bigint;
  readonly maxFires?: bigint;
  readonly session?: string;
  readonly model?: string;
  readonly label?: Record<string, string>;
  readonly ask?: string[];
}

/** Add {@link ScheduleOptions} to a command. */
export function addScheduleOptions(command: Command): Command {
  return addPlacementOptions(addWorkOptions(command))
    .option("--zone <name>", "IANA time zone of the expression, as Europe/Berlin; default: UTC")
    .option("--missed <policy>", "fires that were not made in time: skip (default), last (one for all), all", choice(MISSED))
    .option("--max-missed <n>", "with --missed all: at most this many, the latest; default: 10", wholeNumber(1, 100))
    .option("--missed-after <seconds>", "how late a fire counts as missed; default: 60", wholeNumber(1, 604_800))
    .option("--overlap <policy>", "if the leaf of an earlier fire is not over: allow (default), skip, queue", choice(OVERLAP))
    .option("--jitter <seconds>", "delay each fire by up to this; default: 0", wholeNumber(0, 3600))
    .option("--start <time>", "no fire before this time, as 2026-12-01T00:00:00Z", time)
    .option("--end <time>", "no fire at or after this time", time)
    .option("--max-fires <n>", "at most this many fires; 0 (default): no limit", (text) => BigInt(count(text)))
    .option("--session <id>", "session of the leaves, as run-__FIRE__; default: a new one for each")
    .option("--model <provider/model>", "of the leaves; default: the stack's")
    .option("--label <key=value>", "a label of the leaves; may be repeated", labels)
    .option("--ask <tool>", "each call of this tool waits for `leaf approve`; may be repeated", tools);
}

/** The times in a schedule. What the user did not say is absent. */
export function timeFields(options: ScheduleOptions): Partial<Omit<Schedule, "$typeName" | "$unknown">> {
  const { cron, zone: timeZone, missed, maxMissed, missedAfter, overlap, jitter, start, end, maxFires } = options;
  return said({
    cron,
    timeZone,
    missed,
    maxMissed,
    missedAfterMs: milliseconds(missedAfter),
    overlap,
    jitterMs: milliseconds(jitter),
    startMs: start,
    endMs: end,
    maxFires,
  });
}

/** The leaf in a schedule, without its prompt and its sandbox. What the user did not say is absent. Throws if the options contradict each other. */
export async function leafFields(options: ScheduleOptions): Promise<Partial<Omit<LeafSpec, "$typeName" | "$unknown">>> {
  const { session: sessionId, model, label: labels, ask } = options;
  const { kind, ...work } = await workFields(options);
  const hasKind = options.task === true || options.schema !== undefined || options.solve === true;
  const gates = ask === undefined ? undefined : create(GatePolicySchema, { tools: ask.map((tool) => ({ tool })) });
  return { ...work, ...said({ kind: hasKind ? kind : undefined, sessionId, model, labels, gates }) };
}

function time(text: string): bigint {
  const found = /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(found)) return BigInt(found);
  throw new InvalidArgumentError("It must be a time in ISO 8601, as 2026-12-01T00:00:00Z or 2026-12-01T00:00:00+01:00.");
}
