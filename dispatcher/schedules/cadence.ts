import { Cron } from "croner";

/** Expressions are kept in a record and shown in lines. */
export const MAX_CRON = 256;

/** Fields that croner numbers from zero, so that its messages name another number than the caller wrote. */
const COUNTED_FROM_ONE: ReadonlySet<string> = new Set(["day", "month"]);

/** When a schedule may fire at all, in milliseconds since the Unix epoch; 0: no such bound. */
export interface Bounds {
  /** Not before. */
  readonly startMs: number;
  /** Not at or after. */
  readonly endMs: number;
}

const UNBOUNDED: Bounds = { startMs: 0, endMs: 0 };

/**
 * The times that a cron expression names in a time zone. A fixed time of day that a change of the clocks leaves out comes right after the gap, and once
 * where it would come twice; a repeating one leaves the gap out, and comes in both passes of a repeated hour.
 */
export class Cadence {
  readonly #cron: Cron;
  readonly #bounds: Bounds;

  /** Throws a TypeError or RangeError for an expression or a zone that is none: {@link cronProblem} and {@link timeZoneProblem} say it better. */
  constructor(expression: string, timeZone: string, bounds: Bounds = UNBOUNDED) {
    this.#cron = new Cron(expression, { timezone: timeZone || "UTC", mode: "5-or-6-parts", paused: true });
    this.#bounds = bounds;
  }

  /** The first time after `timeMs`; `undefined` where there is none. */
  after(timeMs: number): number | undefined {
    const { startMs, endMs } = this.#bounds;
    const next = this.#cron.nextRun(new Date(Math.max(timeMs, startMs - 1)))?.getTime();
    return next !== undefined && (endMs === 0 || next < endMs) ? next : undefined;
  }

  /** The next times after `timeMs`, at most `count`. */
  next(count: number, timeMs: number): number[] {
    const times: number[] = [];
    for (let time = this.after(timeMs); time !== undefined && times.length < count; time = this.after(time)) times.push(time);
    return times;
  }

  /** The last times before `timeMs` that are not before `earliestMs`, at most `count`, in order. */
  before(timeMs: number, earliestMs: number, count: number): number[] {
    const { startMs, endMs } = this.#bounds;
    const end = endMs === 0 ? timeMs : Math.min(timeMs, endMs);
    return this.#cron
      .previousRuns(count, new Date(end))
      .map((date) => date.getTime())
      .filter((time) => time >= Math.max(earliestMs, startMs))
      .sort((a, b) => a - b);
  }
}

/** What is wrong with an expression, and what would be right; `undefined` where nothing is. `nowMs`: it must name a time after this one. */
export function cronProblem(expression: string, nowMs: number): string | undefined {
  if (/^\s*\d{4}-/.test(expression)) return "must be a cron expression, not a date: for one time, submit a leaf then";
  if (/^\s*@reboot\s*$/i.test(expression)) return "must be a cron expression: @reboot names no time";
  try {
    if (new Cadence(expression, "UTC").after(nowMs) !== undefined) return undefined;
  } catch (error) {
    return `must be a cron expression, as "30 2 * * 1-5" (minute, hour, day of month, month, day of week): ${complaint(error)}`;
  }
  return "must name a time that comes: no date ever matches its day, month and weekday, as February 30";
}

/** What is wrong with a time zone, and what would be right; `undefined` where nothing is. */
export function timeZoneProblem(timeZone: string): string | undefined {
  const right = "must be an IANA time zone, as Europe/Berlin or UTC";
  // Offsets as +02:00 are taken by the platform, but know no summer time.
  if (timeZone !== "" && !/^[A-Za-z]/.test(timeZone)) return right;
  try {
    new Intl.DateTimeFormat("en", { timeZone: timeZone || "UTC" });
    return undefined;
  } catch {
    return right;
  }
}

/** What croner says, without its own name and without the expression, which the caller knows. */
function complaint(error: unknown): string {
  const text = (error instanceof Error ? error.message : String(error)).replace(/^CronPattern: /, "");
  const [, field = "", value = ""] = /^Invalid value for (\w+): (-?\d+)$/.exec(text) ?? [];
  if (field !== "") return `${value === "" ? "" : Number(value) + (COUNTED_FROM_ONE.has(field) ? 1 : 0)} is no ${field}`;
  if (/space separated parts|requires exactly/.test(text)) return "it has five fields, or six with seconds in front";
  return `${text.charAt(0).toLowerCase()}${text.slice(1)}`;
}
