import { createHash } from "node:crypto";

/** What the first line of a log carries in place of a hash of the one before. */
export const NO_LINE = "0".repeat(64);

/** What every line of a chained log has; all else is its writer's. */
export interface Line {
  /** 1 for the first line ever, and one more for each. */
  readonly seq: number;
  /** When it was written, as `2026-11-30T14:27:26.123Z`. */
  readonly at: string;
  /** {@link hashOf} the line before. */
  readonly prev: string;
  /** What happened. Those that start with `log.` are the log's own. */
  readonly action: string;
  readonly [field: string]: unknown;
}

/** SHA-256 of a line's bytes without its line feed, in hex. */
export function hashOf(line: string | Uint8Array): string {
  return createHash("sha256").update(line).digest("hex");
}

/** A line from its text; `undefined` for a text that is none. */
export function parseLine(text: string): Line | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return undefined;
    const { seq, at, prev, action } = value as Partial<Line>;
    const isLine = Number.isSafeInteger(seq) && typeof at === "string" && typeof prev === "string" && typeof action === "string";
    return isLine ? (value as Line) : undefined;
  } catch {
    return undefined;
  }
}

/** A place in a log: a line's number and its hash. */
export interface Place {
  readonly seq: number;
  readonly hash: string;
}
