import { closeSync, constants, openSync, readSync } from "node:fs";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Handle } from "@serverless-harness/kit/paths/handle";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import { type BytePath, openChild } from "../fs/byte-names.ts";
import { Wildmatch } from "./wildmatch.ts";

/** Characters that make a pattern more than a text. */
const GLOB = /[*?[\\]/;

/** A pattern longer than any path can't match one. */
const MAX_PATTERN = 4096;

/** Steps that deciding about one path may take, some tens of milliseconds: real rules take thousands. */
const MAX_STEPS = 4_000_000;

interface Rule {
  readonly negative: boolean;
  readonly directoryOnly: boolean;
  /** It is about the last name of a path, wherever that is; else about the path from the file's directory. */
  readonly nameOnly: boolean;
  /** What comes before the first wildcard. */
  readonly literal: string;
  /** The rest; `undefined` if there is none. */
  readonly rest: { readonly suffix: string } | Wildmatch | undefined;
}

/**
 * The rules of .gitignore files, from one directory up to the root of the tree, exactly as git applies them. (Git itself can't be asked: it
 * would have to read the directory that commands change meanwhile.)
 */
export class IgnoreRules {
  readonly #base: BytePath;
  readonly #rules: readonly Rule[];
  readonly #parent: IgnoreRules | undefined;

  private constructor(base: BytePath, rules: readonly Rule[], parent: IgnoreRules | undefined) {
    this.#base = base;
    this.#rules = rules;
    this.#parent = parent;
  }

  /** Add a file's rules to those above it. `base`: its directory with a slash at the end, or `""` for the root. */
  static read(content: string, base: BytePath, parent: IgnoreRules | undefined): IgnoreRules | undefined {
    const text = content.startsWith("\xef\xbb\xbf") ? content.slice(3) : content;
    const rules = text.split("\n").map(parseLine);
    // The last one that matches decides.
    const valid = rules.filter((rule) => rule !== undefined).reverse();
    return valid.length === 0 ? parent : new IgnoreRules(base, valid, parent);
  }

  /** The path below the root, itself and not by a directory above it, is ignored. FAILED_PRECONDITION `ignore_rules_too_complex` if that takes too many steps. */
  ignores(path: BytePath, name: BytePath, isDirectory: boolean): boolean {
    const budget = { steps: MAX_STEPS };
    for (let level: IgnoreRules | undefined = this; level !== undefined; level = level.#parent) {
      const local = path.slice(level.#base.length);
      for (const rule of level.#rules) {
        if (rule.directoryOnly && !isDirectory) continue;
        if (matches(rule, rule.nameOnly ? name : local, budget)) return !rule.negative;
      }
    }
    return false;
  }
}

function matches(rule: Rule, text: BytePath, budget: { steps: number }): boolean {
  const { literal, rest } = rule;
  if (rest === undefined) return text === literal;
  if (!text.startsWith(literal)) return false;
  if (!(rest instanceof Wildmatch)) return text.length >= rest.suffix.length && text.endsWith(rest.suffix);
  const remaining = text.slice(literal.length);
  budget.steps -= rest.cost(remaining.length);
  if (budget.steps < 0) {
    const message = "the workspace's .gitignore files hold patterns that are too long or too many: make them simpler";
    throw new HarnessError(Code.FailedPrecondition, "ignore_rules_too_complex", message);
  }
  return rest.matches(remaining);
}

function parseLine(line: string): Rule | undefined {
  const zero = line.indexOf("\0");
  let pattern = withoutTrailingSpaces(zero === -1 ? line.replace(/\r$/, "") : line.slice(0, zero));
  if (pattern.startsWith("#")) return undefined;
  const negative = pattern.startsWith("!");
  if (negative) pattern = pattern.slice(1);
  const directoryOnly = pattern.endsWith("/");
  if (directoryOnly) pattern = pattern.slice(0, -1);
  if (pattern === "" || pattern.length > MAX_PATTERN) return undefined;
  const nameOnly = !pattern.includes("/");
  if (pattern.startsWith("/")) pattern = pattern.slice(1);
  const found = GLOB.exec(pattern)?.index;
  const literal = pattern.slice(0, found);
  const flags = { negative, directoryOnly, nameOnly, literal };
  if (found === undefined) return { ...flags, rest: undefined };
  const wild = pattern.slice(found);
  if (nameOnly && literal === "" && wild.startsWith("*") && !GLOB.test(wild.slice(1))) return { ...flags, rest: { suffix: wild.slice(1) } };
  // Git compares the literal part first and gives only the rest to its matcher, for which `**` then stands at the start.
  const rest = Wildmatch.parse(nameOnly ? pattern : wild, !nameOnly);
  return rest === undefined ? undefined : { ...flags, literal: nameOnly ? "" : literal, rest };
}

/** Spaces at the end don't count, unless a backslash goes before the first of them. */
function withoutTrailingSpaces(line: string): string {
  let end = line.length;
  for (let at = 0; at < line.length; at++) {
    if (line[at] === "\\") {
      at++;
      if (at >= line.length) return line;
      end = line.length;
    } else if (line[at] === " ") {
      if (end === line.length) end = at;
    } else end = line.length;
  }
  return line.slice(0, end);
}

/**
 * Reads the rules that hold in a directory, given those that hold above it. `path`: the directory's, with a slash at
 * the end, or `""` for the root.
 */
export type IgnoreSource = (directory: Handle, path: BytePath, above: IgnoreRules | undefined) => IgnoreRules | undefined;

export const IGNORE_FILE = ".gitignore";

/** Nobody writes longer files of rules by hand. */
const MAX_BYTES = 256 * 1024;
/** For searches, which go on without the rules of a longer file. */
const MAX_SEARCHED_BYTES = 1024 * 1024;

/** The .gitignore files in the tree itself. As for git, one that is a symbolic link does not count. */
export const rulesOnDisk: IgnoreSource = (directory, path, above) => {
  using file = openIgnoreFile(directory);
  if (file === undefined) return above;
  const size = sizeOf(file);
  if (size <= MAX_BYTES) return IgnoreRules.read(readText(file, size), path, above);
  const message = `a .gitignore file of the workspace is larger than ${MAX_BYTES} bytes: make it smaller`;
  throw new HarnessError(Code.FailedPrecondition, "ignore_rules_too_complex", message);
};

/** The same for searches and watches: a file that is too large or can't be read does not count. */
export const rulesForSearch: IgnoreSource = (directory, path, above) => {
  try {
    using file = openIgnoreFile(directory);
    if (file === undefined) return above;
    const size = sizeOf(file);
    return size > MAX_SEARCHED_BYTES ? above : IgnoreRules.read(readText(file, size), path, above);
  } catch (error) {
    if (errnoOf(error) === "EACCES") return above;
    throw error;
  }
};

/** The rules of .gitignore files that are given by their directories' paths, whatever is on the disk. */
export function givenRules(contents: ReadonlyMap<BytePath, string>): IgnoreSource {
  return (_directory, path, above) => {
    const content = contents.get(path);
    return content === undefined ? above : IgnoreRules.read(content, path, above);
  };
}

function openIgnoreFile(directory: Handle): Handle | undefined {
  const file = openChild(directory, IGNORE_FILE);
  if (file === undefined || file.stat().isFile()) return file;
  file[Symbol.dispose]();
  return undefined;
}

function sizeOf(file: Handle): number {
  return Number(file.stat().size);
}

function readText(file: Handle, size: number): string {
  const fd = openSync(file.path, constants.O_RDONLY);
  try {
    const buffer = Buffer.alloc(size);
    return buffer.toString("latin1", 0, readSync(fd, buffer, 0, size, 0));
  } finally {
    closeSync(fd);
  }
}
