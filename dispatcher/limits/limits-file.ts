import { readFileSync } from "node:fs";
import { ConfigError } from "@serverless-harness/kit/env";
import { Validation } from "@serverless-harness/kit/validate";

/** What a tenant or a token may take; 0: no bound. Names are those of the file. */
export interface Bounds {
  readonly requests_per_second: number;
  readonly unfinished: number;
  readonly bytes: number;
  readonly tokens_per_day: number;
  readonly usd_per_day: number;
}

/** What only tenants have. */
export interface TenantBounds extends Bounds {
  /** Leaves that run at once. */
  readonly running: number;
  /** Its share where several tenants have work waiting. */
  readonly weight: number;
  readonly schedules: number;
  /** Least time between two fires of a schedule, in seconds. */
  readonly schedule_interval_s: number;
}

/** Whose limits are which. */
export interface LimitsTable {
  /** Of tenants that are not named. */
  readonly tenant: TenantBounds;
  /** Of tokens that are not named. */
  readonly token: Bounds;
  readonly tenants: ReadonlyMap<string, TenantBounds>;
  readonly tokens: ReadonlyMap<string, Bounds>;
}

type Range = readonly [least: number, most: number, isWhole: boolean];

const BOUNDS: Readonly<Record<keyof Bounds, Range>> = {
  requests_per_second: [0, 1_000_000, false],
  unfinished: [0, 1_000_000_000, true],
  bytes: [0, Number.MAX_SAFE_INTEGER, true],
  tokens_per_day: [0, Number.MAX_SAFE_INTEGER, true],
  usd_per_day: [0, 1_000_000_000, false],
};
const TENANT_BOUNDS: Readonly<Record<keyof TenantBounds, Range>> = {
  ...BOUNDS,
  running: [0, 1_000_000, true],
  weight: [1, 1000, true],
  schedules: [0, 100_000, true],
  schedule_interval_s: [1, 86_400, true],
};

/** No bound but those of schedules, which stand in the environment. */
export function defaultTable(schedules: Pick<TenantBounds, "schedules" | "schedule_interval_s">): LimitsTable {
  const token = { requests_per_second: 0, unfinished: 0, bytes: 0, tokens_per_day: 0, usd_per_day: 0 };
  return { tenant: { ...token, running: 0, weight: 1, ...schedules }, token, tenants: new Map(), tokens: new Map() };
}

/** Read the operator's file. Throws a ConfigError that lists what is wrong with it. */
export function readLimitsFile(path: string, defaults: LimitsTable): LimitsTable {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError(`DISPATCHER_LIMITS_FILE: ${path} can't be read (${(error as NodeJS.ErrnoException).code})`);
  }
  try {
    return parse(text, defaults);
  } catch (error) {
    throw new ConfigError(`DISPATCHER_LIMITS_FILE: ${path}: ${error instanceof Error ? error.message : error}`);
  }
}

function parse(text: string, defaults: LimitsTable): LimitsTable {
  const v = new Validation();
  const file = object(v, "the file", json(text));
  const known = ["tenant", "token", "tenants", "tokens"];
  for (const field of Object.keys(file)) v.check(field, known.includes(field), `is not known: use ${known.join(", ")}`);
  const tenant = bounds(v, "tenant", file["tenant"], defaults.tenant, TENANT_BOUNDS);
  const token = bounds(v, "token", file["token"], defaults.token, BOUNDS);
  const tenants = Object.entries(object(v, "tenants", file["tenants"])).map(([name, value]) => {
    v.name(`tenants.${name}`, name);
    return [name, bounds(v, `tenants.${name}`, value, tenant, TENANT_BOUNDS)] as const;
  });
  const tokens = Object.entries(object(v, "tokens", file["tokens"])).map(
    ([name, value]) => [name, bounds(v, `tokens.${name}`, value, token, BOUNDS)] as const,
  );
  v.done();
  return { tenant, token, tenants: new Map(tenants), tokens: new Map(tokens) };
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('it must be JSON, as {"tenant": {"unfinished": 1000}}');
  }
}

function object(v: Validation, field: string, value: unknown): Readonly<Record<string, unknown>> {
  if (value === undefined) return {};
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  v.fail(field, "must be an object");
  return {};
}

/** What an entry says, and where it says nothing, the default. */
function bounds<T extends Bounds>(v: Validation, at: string, value: unknown, defaults: T, ranges: Readonly<Record<string, Range>>): T {
  const found: Record<string, number> = {};
  for (const [field, given] of Object.entries(object(v, at, value))) {
    const range = Object.hasOwn(ranges, field) ? ranges[field] : undefined;
    if (range === undefined) {
      v.fail(`${at}.${field}`, `is not known: use ${Object.keys(ranges).join(", ")}`);
      continue;
    }
    const [least, most, isWhole] = range;
    const isRight = typeof given === "number" && given >= least && given <= most && (!isWhole || Number.isInteger(given));
    if (isRight) found[field] = given;
    else v.fail(`${at}.${field}`, `must be a ${isWhole ? "whole " : ""}number from ${least} to ${most}`);
  }
  return { ...defaults, ...found };
}
