import { styleText } from "node:util";

/** What the demo says of the system, and what it saw. */
export interface Claim {
  readonly claim: string;
  readonly holds: boolean;
  /** What was seen, in words. */
  readonly seen: string;
  /** The figures in it, by name. */
  readonly measured: Readonly<Record<string, number | string>>;
}

/** What a look at the system found. */
export type Finding = Omit<Claim, "claim">;

/** Prints claims as they are checked, each on two lines. */
export class Claims {
  readonly #all: Claim[] = [];
  #silent: boolean;

  /** `silent`: print nothing. */
  constructor(silent: boolean) {
    this.#silent = silent;
  }

  /** Print nothing from now on. */
  silence(): void {
    this.#silent = true;
  }

  get all(): readonly Claim[] {
    return this.#all;
  }

  get holding(): number {
    return this.#all.filter(({ holds }) => holds).length;
  }

  /** Say something that is no claim. */
  say(text: string): void {
    if (!this.#silent) console.log(styleText("dim", text));
  }

  /** Check a claim; whatever its check throws, it does not hold. */
  async check(claim: string, look: () => Promise<Finding>): Promise<void> {
    const found = await look().catch((error: unknown) => ({ holds: false, seen: messageOf(error), measured: {} }));
    this.#all.push({ claim, ...found });
    if (this.#silent) return;
    console.log(`${found.holds ? styleText("green", "✓") : styleText("red", "✗")} ${claim}`);
    console.log(`  ${styleText("dim", found.seen)}`);
  }
}

/** An error's message, as one line. */
export function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replaceAll("\n", "; ");
}

/** A length of time: `312 ms`, `2.1 s`. */
export function time(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
