import { parseWildmatch, type Token } from "./wildmatch-parser.ts";

const SLASH = 0x2f;

/**
 * A shell-style pattern as git reads it in .gitignore files, on bytes (see BytePath). All ways to match are followed at once, so the time is
 * bounded by the product of the lengths, whatever the pattern.
 */
export class Wildmatch {
  readonly #tokens: readonly Token[];

  private constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  /** Read a pattern. `undefined` where it is malformed and so matches nothing. `pathname`: a single `*` stops at slashes. */
  static parse(pattern: string, pathname: boolean): Wildmatch | undefined {
    const tokens = parseWildmatch(pattern, pathname);
    return tokens === undefined ? undefined : new Wildmatch(tokens);
  }

  /** Steps that a match against `length` bytes may take. */
  cost(length: number): number {
    return (this.#tokens.length + 1) * (length + 1);
  }

  /** The whole text matches. */
  matches(text: string): boolean {
    const end = this.#tokens.length;
    let states = new Uint8Array(end + 1);
    this.#enter(states, 0);
    for (let at = 0; at < text.length; at++) {
      const next = new Uint8Array(end + 1);
      let alive = false;
      for (let state = 0; state < end; state++) {
        if (states[state] === 1 && this.#step(next, state, text.charCodeAt(at))) alive = true;
      }
      if (!alive) return false;
      states = next;
    }
    return states[end] === 1;
  }

  /** Come to a token, and to those behind it as long as they may match nothing. */
  #enter(states: Uint8Array, state: number): void {
    for (let at = state; ; at++) {
      states[at] = 1;
      const kind = this.#tokens[at]?.kind;
      if (kind !== "run" && kind !== "directories") return;
    }
  }

  /** Read a character at a token; false where it leads nowhere. */
  #step(next: Uint8Array, state: number, code: number): boolean {
    const token = this.#tokens[state];
    if (token?.kind === "directories") {
      // Inside of a name there is no way on but through its slash.
      if (code === SLASH) this.#enter(next, state + 1);
      next[state] = 1;
      return true;
    }
    if (token?.kind === "run") {
      if (code === SLASH && !token.all) return false;
      this.#enter(next, state);
      return true;
    }
    if (token === undefined || !accepts(token, code)) return false;
    this.#enter(next, state + 1);
    return true;
  }
}

function accepts(token: Token, code: number): boolean {
  return token.kind === "char" ? token.code === code : token.kind === "set" && token.has[code] === 1;
}
