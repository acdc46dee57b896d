import type { LineQuery } from "./line-query.ts";

/** POSIX classes, which Rust's syntax has inside brackets. */
const POSIX: Readonly<Record<string, string>> = {
  alnum: "A-Za-z0-9",
  alpha: "A-Za-z",
  digit: "0-9",
  lower: "a-z",
  upper: "A-Z",
  space: "\\s",
  punct: "!-\\/:-@\\[-`{-~",
  xdigit: "0-9A-Fa-f",
  word: "\\w",
};

/** What JavaScript has and Rust's linear-time expressions can't: refused here as there. */
const NOT_RUST = /\(\?(?:=|!|<=|<!)|(?<!\\)(?:\\\\)*\\[1-9]/;

/** A JavaScript regular expression for a query in Rust's syntax. Throws an Error whose message tells what is wrong. */
export function toRegExp({ pattern, literal, ignoreCase }: Pick<LineQuery, "pattern" | "literal" | "ignoreCase">): RegExp {
  if (literal) return new RegExp(pattern.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), ignoreCase ? "iu" : "u");
  if (NOT_RUST.test(pattern)) throw new Error("look-around and back references are not supported");
  const inline = /^\(\?([imsu]+)\)/.exec(pattern);
  const flags = new Set([...(inline?.[1] ?? "").replace("u", ""), ...(ignoreCase ? ["i"] : [])]);
  const source = pattern
    .slice(inline?.[0].length ?? 0)
    .replaceAll("(?P<", "(?<")
    .replace(/\\A/g, "^")
    .replace(/\\z/g, "$")
    .replace(/\[:(\w+):\]/g, (whole, name: string) => POSIX[name] ?? whole);
  return compile(source, [...flags].join(""));
}

/** In Unicode mode where it can be; it refuses escapes of plain characters, which Rust allows. */
function compile(source: string, flags: string): RegExp {
  try {
    return new RegExp(source, `${flags}u`);
  } catch {
    return new RegExp(source, flags);
  }
}
