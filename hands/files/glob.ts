import { invalidArgument } from "@serverless-harness/kit/errors";
import { globbedGlob, globbedName } from "@serverless-harness/kit/paths/shown-name";

/** Alternatives that the braces of one glob may stand for. */
const MAX_ALTERNATIVES = 200;

/** Tells which paths are wanted, given by their segments as they are shown. */
export type NameFilter = (path: readonly string[], isDirectory: boolean) => boolean;

/**
 * The filter of a glob that a client sent: matched against the whole path, or against the name alone if the glob has
 * no slash but at its end. With a slash at the end only directories match. With a `!` before it everything else is
 * wanted, and nothing below a directory that matches. A name that is written just like the glob matches too, whatever
 * its characters mean. INVALID_ARGUMENT for `field` if it is no glob, or its braces stand for too much.
 */
export function nameFilter(field: string, glob: string): NameFilter {
  if (!glob.startsWith("!")) return wantedBy(field, glob);
  const unwanted = wantedBy(field, glob.slice(1));
  return (path, isDirectory) => path.every((_name, index) => !unwanted(path.slice(0, index + 1), index < path.length - 1 || isDirectory));
}

function wantedBy(field: string, sent: string): NameFilter {
  const glob = globbedGlob(sent);
  const problem = globProblem(glob);
  if (problem !== undefined) throw invalidArgument([{ field, description: problem }]);
  const alternatives = expandBraces(glob, MAX_ALTERNATIVES);
  if (alternatives === undefined) {
    throw invalidArgument([{ field, description: `must stand for at most ${MAX_ALTERNATIVES} alternatives in braces` }]);
  }
  const filters = alternatives.map(filterOne);
  const literally = globbedName(sent).replace(/^\.?\//, "");
  const nameOnly = !glob.includes("/");
  return (shown, isDirectory) => {
    const path = shown.map(globbedName);
    return filters.some((filter) => filter(path, isDirectory)) || (nameOnly && path.at(-1) === literally) || path.join("/") === literally;
  };
}

function filterOne(pattern: string): NameFilter {
  const directoriesOnly = pattern.endsWith("/");
  const body = directoriesOnly ? pattern.slice(0, -1) : pattern;
  const glob = compileGlob(body.replace(/^\.?\//, ""));
  const nameOnly = !body.includes("/");
  return (path, isDirectory) => (isDirectory || !directoriesOnly) && matchesGlob(glob, nameOnly ? path.slice(-1) : path);
}

// Globs are matched without regular expressions: a client's pattern must not make the daemon think for minutes. Time is at most the product of
// the lengths of pattern and path.

/** What one character of a name must be, or any run of them. */
type Token = "*" | { readonly char: string } | { readonly accepts: (char: string) => boolean };

/** What one name of a path must be. */
interface NamePattern {
  readonly tokens: readonly Token[];
  /** What it must begin and end with: tells most names apart at once. */
  readonly prefix: string;
  readonly suffix: string;
  /** There is nothing but the prefix. */
  readonly plain: boolean;
}

/** A name of a path, or any number of them. */
type Segment = "**" | NamePattern;

/** A glob, ready to be matched. */
type Glob = readonly Segment[];

/** Read a glob of `/`-separated segments. `**` as a whole segment stands for any number of segments, at the end for at least one. */
export function compileGlob(pattern: string): Glob {
  const segments = pattern.split("/").map((segment): Segment => (/^\*{2,}$/.test(segment) ? "**" : compileName(segment)));
  return segments.at(-1) === "**" ? [...segments.slice(0, -1), compileName("*"), "**"] : segments;
}

/** The glob stands for exactly this path, given as its segments. */
export function matchesGlob(glob: Glob, path: readonly string[]): boolean {
  return matchWild(
    glob,
    path,
    (segment) => segment === "**",
    (segment, name) => segment !== "**" && matchesName(segment, name),
  );
}

/**
 * Replace `{a,b}` by its alternatives, nested ones too. `undefined` if more than `limit` come out. A brace without its partner, or
 * without a comma in it, is a plain character.
 */
export function expandBraces(pattern: string, limit: number): string[] | undefined {
  const done: string[] = [];
  const open = [pattern];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const alternatives = expandFirst(next);
    if (alternatives === undefined) done.push(next);
    else open.push(...alternatives.reverse());
    if (done.length + open.length > limit) return undefined;
  }
  return done;
}

/** What keeps a text from being a glob, as ripgrep sees it; `undefined` if nothing does. */
function globProblem(pattern: string): string | undefined {
  if (pattern === "") return "must hold a pattern after the !";
  let braces = 0;
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern[at];
    if (char === "\\") at += 1;
    else if (char === "{") braces += 1;
    else if (char === "}") braces -= 1;
    else if (char === "[") {
      const segment = [...(pattern.slice(at).split("/", 1)[0] ?? "")];
      const found = readClass(segment, 0);
      if (found === undefined) return "has a [ without its ]: write \\[ for the character";
      at += segment.slice(0, found.end).join("").length;
    }
    if (at >= pattern.length) return "ends with a single backslash";
    if (braces < 0) return "has a } without its {: write \\} for the character";
  }
  return braces > 0 ? "has a { without its }: write \\{ for the character" : undefined;
}

function expandFirst(pattern: string): string[] | undefined {
  for (let start = pattern.indexOf("{"); start !== -1; start = pattern.indexOf("{", start + 1)) {
    if (pattern[start - 1] === "\\") continue;
    const cuts = partsOfBrace(pattern, start);
    if (cuts === undefined || cuts.length < 3) continue;
    const end = cuts.at(-1) ?? start;
    return cuts.slice(1).map((cut, index) => pattern.slice(0, start) + pattern.slice((cuts[index] ?? 0) + 1, cut) + pattern.slice(end + 1));
  }
  return undefined;
}

/** Offsets of a brace, of its commas and of its partner; `undefined` if it has none. */
function partsOfBrace(pattern: string, start: number): number[] | undefined {
  const cuts = [start];
  let depth = 0;
  for (let i = start; i < pattern.length; i++) {
    const char = pattern[i];
    if (char === "\\") i++;
    else if (char === "{") depth++;
    else if (char === "," && depth === 1) cuts.push(i);
    else if (char === "}" && --depth === 0) return [...cuts, i];
  }
  return undefined;
}

function matchesName(pattern: NamePattern, name: string): boolean {
  if (pattern.plain) return name === pattern.prefix;
  if (!name.startsWith(pattern.prefix) || !name.endsWith(pattern.suffix)) return false;
  return matchWild(
    pattern.tokens,
    [...name],
    (token) => token === "*",
    (token, char) => token !== "*" && ("char" in token ? token.char === char : token.accepts(char)),
  );
}

function compileName(segment: string): NamePattern {
  const tokens = tokenize(segment);
  const wild = (token: Token): boolean => token === "*" || "accepts" in token;
  const firstWild = tokens.findIndex(wild);
  const lastWild = tokens.findLastIndex(wild);
  const plain = firstWild === -1;
  const text = (part: readonly Token[]): string => part.map((token) => (token !== "*" && "char" in token ? token.char : "")).join("");
  return { tokens, prefix: text(plain ? tokens : tokens.slice(0, firstWild)), suffix: text(tokens.slice(lastWild + 1)), plain };
}

/** Match a sequence against a pattern in which some elements stand for any run. On a mismatch only the last such run has to grow. */
function matchWild<P, T>(
  pattern: readonly P[],
  items: readonly T[],
  isRun: (p: P) => boolean,
  matches: (p: P, item: T) => boolean,
): boolean {
  let p = 0;
  let i = 0;
  let runAt = -1;
  let runEnd = 0;
  while (i < items.length) {
    const element = pattern[p];
    if (element !== undefined && isRun(element)) {
      runAt = p++;
      runEnd = i;
    } else if (element !== undefined && matches(element, items[i] as T)) {
      p++;
      i++;
    } else if (runAt !== -1) {
      p = runAt + 1;
      i = ++runEnd;
    } else {
      return false;
    }
  }
  return pattern.slice(p).every(isRun);
}

function tokenize(segment: string): Token[] {
  const tokens: Token[] = [];
  const chars = [...segment];
  for (let i = 0; i < chars.length; i++) {
    const char = chars[i] ?? "";
    const bracket = char === "[" ? readClass(chars, i) : undefined;
    if (bracket !== undefined) {
      tokens.push({ accepts: bracket.accepts });
      i = bracket.end;
    } else if (char === "*") {
      if (tokens.at(-1) !== "*") tokens.push("*");
    } else if (char === "?") {
      tokens.push({ accepts: () => true });
    } else {
      tokens.push({ char: char === "\\" ? (chars[++i] ?? "\\") : char });
    }
  }
  return tokens;
}

const POSIX: Readonly<Record<string, RegExp>> = {
  alnum: /^[A-Za-z0-9]$/,
  alpha: /^[A-Za-z]$/,
  digit: /^[0-9]$/,
  lower: /^[a-z]$/,
  upper: /^[A-Z]$/,
  space: /^\s$/,
  punct: /^[!-/:-@[-`{-~]$/,
  xdigit: /^[0-9A-Fa-f]$/,
};

/** A character class that starts at `start`, and where it ends; `undefined` if it doesn't, and the bracket is a plain character. */
function readClass(chars: readonly string[], start: number): { accepts: (char: string) => boolean; end: number } | undefined {
  const negated = chars[start + 1] === "!" || chars[start + 1] === "^";
  const first = start + (negated ? 2 : 1);
  const accepted: Array<(char: string) => boolean> = [];
  for (let i = first; i < chars.length; i++) {
    if (chars[i] === "]" && i > first) {
      return { accepts: (char) => accepted.some((accepts) => accepts(char)) !== negated, end: i };
    }
    const posix = /^\[:(\w+):\]/.exec(chars.slice(i, i + 12).join(""));
    const known = POSIX[posix?.[1] ?? ""];
    if (posix !== null && known !== undefined) {
      accepted.push((char) => known.test(char));
      i += posix[0].length - 1;
      continue;
    }
    if (chars[i] === "\\") i++;
    const low = chars[i] ?? "";
    const isRange = chars[i + 1] === "-" && chars[i + 2] !== undefined && chars[i + 2] !== "]";
    const high = isRange ? (chars[i + 2] ?? low) : low;
    if (isRange) i += 2;
    accepted.push((char) => char >= low && char <= high);
  }
  return undefined;
}
