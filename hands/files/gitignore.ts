import { readFileSync } from "node:fs";
import { type Handle, openInode } from "@serverless-harness/kit/paths/handle";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import { globbedBytes, globbedName } from "@serverless-harness/kit/paths/shown-name";
import { compileGlob, type Glob, matchesGlob } from "./glob.ts";

/** One line of a .gitignore file. */
interface Rule {
  readonly glob: Glob;
  /** The line takes back what lines before it ignore. */
  readonly negated: boolean;
  readonly directoriesOnly: boolean;
}

/** Bytes of the largest .gitignore file that counts. */
const MAX_BYTES = 1024 * 1024;

/**
 * The rules that hold in a directory: those of its own .gitignore and of those above it, up to the workspace. Of all lines that match a
 * path the last one of the nearest file decides, as gitignore(5) says. What is below an ignored directory is never asked for.
 */
export class IgnoreRules {
  readonly #parent: IgnoreRules | undefined;
  readonly #rules: readonly Rule[];
  /** Number of path segments above the directory of these rules. */
  readonly #depth: number;

  private constructor(parent: IgnoreRules | undefined, rules: readonly Rule[], depth: number) {
    this.#parent = parent;
    this.#rules = rules;
    this.#depth = depth;
  }

  /** Those of a directory `depth` segments below the workspace. */
  static of(directory: Handle, depth: number, parent: IgnoreRules | undefined): IgnoreRules | undefined {
    const text = readIgnoreFile(directory);
    return text === undefined ? parent : new IgnoreRules(parent, parseIgnoreFile(text), depth);
  }

  /** The path, in segments below the workspace as they are shown, is ignored. */
  ignores(path: readonly string[], isDirectory: boolean): boolean {
    const below = path.slice(this.#depth).map(globbedName);
    const deciding = this.#rules.findLast((rule) => (isDirectory || !rule.directoriesOnly) && matchesGlob(rule.glob, below));
    if (deciding !== undefined) return !deciding.negated;
    return this.#parent?.ignores(path, isDirectory) ?? false;
  }
}

function readIgnoreFile(directory: Handle): string | undefined {
  try {
    using file = openInode(directory.child(".gitignore"));
    const stat = file.stat();
    return stat.isFile() && stat.size <= MAX_BYTES ? globbedBytes(readFileSync(file.path)) : undefined;
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "EACCES") return undefined;
    throw error;
  }
}

/** The rules of a .gitignore file, in their order. */
function parseIgnoreFile(text: string): Rule[] {
  return text
    .replace(/^\ufeff/, "")
    .split("\n")
    .map(parseLine)
    .filter((rule) => rule !== undefined);
}

function parseLine(line: string): Rule | undefined {
  let pattern = trimEnd(line.endsWith("\r") ? line.slice(0, -1) : line);
  if (pattern === "" || pattern.startsWith("#")) return undefined;
  const negated = pattern.startsWith("!");
  if (negated) pattern = pattern.slice(1);
  const directoriesOnly = pattern.endsWith("/");
  if (directoriesOnly) pattern = pattern.slice(0, -1);
  if (pattern === "") return undefined;
  // A slash at the start or in the middle ties the pattern to the file's own directory.
  const anchored = pattern.includes("/");
  const glob = compileGlob(anchored ? pattern.replace(/^\//, "") : `**/${pattern}`);
  return { glob, negated, directoriesOnly };
}

/** Cut spaces at the end, but not one behind a backslash. */
function trimEnd(line: string): string {
  let end = line.length;
  while (end > 0 && line[end - 1] === " " && line[end - 2] !== "\\") end--;
  return line.slice(0, end);
}
