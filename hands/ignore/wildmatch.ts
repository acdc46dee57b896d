const SLASH = 0x2f;

/**
 * A shell-style pattern as git reads it in .gitignore files, on bytes (see BytePath). All ways to match are followed
 * at once, so the time is bounded by the product of the lengths, whatever the pattern.
 */
export class Wildmatch {
  readonly #tokens: readonly Token[];

  private constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  /** Read a pattern. `undefined` if it is malformed and so matches nothing. `pathname`: a single `*` stops at slashes. */
  static parse(pattern: string, pathname: boolean): Wildmatch | undefined {
    const tokens = parseWildmatch(pattern, pathname);
    return tokens === undefined ? undefined : new Wildmatch(tokens);
  }

  /** Steps that a match against `length` bytes may take. */
  cost(length: number): number {
    return (this.#tokens.length + 1) * (length + 1);
  }

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

  /** Come to a token, and to those after it as long as they may match nothing. */
  #enter(states: Uint8Array, state: number): void {
    for (let at = state; ; at++) {
      states[at] = 1;
      const kind = this.#tokens[at]?.kind;
      if (kind !== "run" && kind !== "directories") return;
    }
  }

  /** Read a character at a token; false if it leads nowhere. */
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

/** What one position of a pattern accepts. */
type Token =
  | { readonly kind: "char"; readonly code: number }
  /** One character, by its code. */
  | { readonly kind: "set"; readonly has: Uint8Array }
  /** Any characters but slashes, or (`all`) any at all. */
  | { readonly kind: "run"; readonly all: boolean }
  /** Nothing, or whatever ends with a slash. */
  | { readonly kind: "directories" };

const CODES = 256;

/** Members of the named sets, as ranges of characters: pairs of the first and the last. */
const CLASSES: Readonly<Record<string, string>> = {
  alnum: "AZaz09",
  alpha: "AZaz",
  blank: "  \t\t",
  cntrl: "\0\x1f\x7f\x7f",
  digit: "09",
  graph: "!~",
  lower: "az",
  print: " ~",
  punct: "!/:@[`{~",
  space: "  \t\r",
  upper: "AZ",
  xdigit: "AFaf09",
};

/** Read a pattern as git's wildmatch does; `undefined` if it is malformed. */
function parseWildmatch(pattern: string, pathname: boolean): Token[] | undefined {
  const tokens: Token[] = [];
  const cursor = new Cursor(pattern);
  while (!cursor.done) {
    const token = parseToken(cursor, pathname);
    if (token === undefined) return undefined;
    tokens.push(token);
  }
  return tokens;
}

class Cursor {
  readonly text: string;
  at = 0;

  constructor(text: string) {
    this.text = text;
  }

  get done(): boolean {
    return this.at >= this.text.length;
  }

  /** The next character, `""` at the end. */
  peek(ahead = 0): string {
    return this.text.charAt(this.at + ahead);
  }

  take(): string {
    return this.text.charAt(this.at++);
  }
}

function parseToken(cursor: Cursor, pathname: boolean): Token | undefined {
  const before = cursor.at === 0 ? "/" : cursor.text.charAt(cursor.at - 1);
  const first = cursor.take();
  if (first === "*") return parseStars(cursor, pathname, before);
  if (first === "?") return anyBut(pathname);
  if (first === "[") return parseSet(cursor, pathname);
  const literal = first === "\\" ? cursor.take() : first;
  return literal === "" ? undefined : { kind: "char", code: literal.charCodeAt(0) };
}

function parseStars(cursor: Cursor, pathname: boolean, before: string): Token {
  let stars = 1;
  for (; cursor.peek() === "*"; cursor.take()) stars++;
  if (!pathname) return { kind: "run", all: true };
  const after = cursor.peek();
  if (stars === 1 || before !== "/") return { kind: "run", all: false };
  if (after === "/") {
    cursor.take();
    return { kind: "directories" };
  }
  return { kind: "run", all: after === "" || (after === "\\" && cursor.peek(1) === "/") };
}

function anyBut(pathname: boolean): Token {
  const has = new Uint8Array(CODES).fill(1);
  if (pathname) has[SLASH] = 0;
  return { kind: "set", has };
}

/** Read a set after its opening bracket. */
function parseSet(cursor: Cursor, pathname: boolean): Token | undefined {
  const negated = cursor.peek() === "!" || cursor.peek() === "^";
  if (negated) cursor.take();
  const has = new Uint8Array(CODES);
  let previous = "";
  // The first member may be a closing bracket.
  for (let first = true; first || cursor.peek() !== "]"; first = false) {
    const member = parseMember(cursor, previous, has);
    if (member === undefined) return undefined;
    previous = member;
  }
  cursor.take();
  if (negated) for (let code = 0; code < CODES; code++) has[code] = has[code] === 1 ? 0 : 1;
  if (pathname) has[SLASH] = 0;
  return { kind: "set", has };
}

/** Read a member of a set. Returns it if a range may start from it, or `""`; `undefined` if the set is malformed. */
function parseMember(cursor: Cursor, previous: string, has: Uint8Array): string | undefined {
  const first = cursor.take();
  if (first === "") return undefined;
  if (first === "-" && previous !== "" && cursor.peek() !== "" && cursor.peek() !== "]") {
    const taken = cursor.take();
    const last = taken === "\\" ? cursor.take() : taken;
    if (last === "") return undefined;
    addRange(has, previous.charCodeAt(0), last.charCodeAt(0));
    return "";
  }
  if (first === "[" && cursor.peek() === ":") return parseClass(cursor, has);
  const literal = first === "\\" ? cursor.take() : first;
  if (literal === "") return undefined;
  has[literal.charCodeAt(0)] = 1;
  return literal;
}

/** Read `:name:]` after a bracket; otherwise the bracket is a member like any other. */
function parseClass(cursor: Cursor, has: Uint8Array): string | undefined {
  const close = cursor.text.indexOf("]", cursor.at + 1);
  if (close === -1) return undefined;
  const name = cursor.text.slice(cursor.at + 1, close - 1);
  if (cursor.text.charAt(close - 1) !== ":" || close - 1 === cursor.at) {
    has["[".charCodeAt(0)] = 1;
    return "[";
  }
  const ranges = Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined;
  if (ranges === undefined) return undefined;
  for (let at = 0; at < ranges.length; at += 2) addRange(has, ranges.charCodeAt(at), ranges.charCodeAt(at + 1));
  cursor.at = close + 1;
  return "";
}

function addRange(has: Uint8Array, first: number, last: number): void {
  for (let code = first; code <= last; code++) has[code] = 1;
}
