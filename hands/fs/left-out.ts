/** What could not be taken along. */
export interface LeftOut {
  /** Path below the workspace as text, invalid UTF-8 replaced. */
  readonly path: string;
  /** Why, as a part of a sentence: `is a socket`. */
  readonly why: string;
}

/** What was left out of a tree; long lists are cut, but counted. */
export interface LeftOuts {
  readonly named: readonly LeftOut[];
  readonly more: number;
}

export const NOTHING_LEFT_OUT: LeftOuts = { named: [], more: 0 };

/** Something that was read is a list of what was left out. */
export function isLeftOuts(value: unknown): value is LeftOuts {
  if (typeof value !== "object" || value === null || !("named" in value) || !("more" in value)) return false;
  return Number.isSafeInteger(value.more) && Array.isArray(value.named) && value.named.every(isLeftOut);
}

function isLeftOut(value: unknown): value is LeftOut {
  if (typeof value !== "object" || value === null || !("path" in value) || !("why" in value)) return false;
  return typeof value.path === "string" && typeof value.why === "string";
}

/** As many are named. */
const MAX_NAMED = 50;

export function joinLeftOuts(one: LeftOuts, other: LeftOuts): LeftOuts {
  const all = [...one.named, ...other.named];
  const named = all.slice(0, MAX_NAMED);
  return { named, more: one.more + other.more + all.length - named.length };
}

export class LeftOutList implements LeftOuts {
  readonly named: LeftOut[] = [];
  more = 0;

  add(path: string, why: string): void {
    if (this.named.length < MAX_NAMED) this.named.push({ path, why });
    else this.more += 1;
  }
}
