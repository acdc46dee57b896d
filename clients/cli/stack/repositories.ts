import { existsSync, realpathSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { InvalidArgumentError } from "commander";
import { CliError, ExitCode } from "../errors.ts";
import type { StackPaths } from "./paths.ts";
import { liveRecord } from "./record.ts";

/** Separates directories in hands' setting, so no directory may hold it. */
const SEPARATOR = ":";

/** Reads a directory of `--repositories` as a real path; may be repeated. */
export function repositories(text: string, before: readonly string[] = []): string[] {
  const path = resolve(text);
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new InvalidArgumentError("It must be an existing directory.");
  const real = realpathSync(path);
  if (real.includes(SEPARATOR)) throw new InvalidArgumentError("Its path must hold no colon.");
  return [...before, real];
}

/** The directories as one setting. */
export function joinRepositories(directories: readonly string[]): string {
  return [...new Set(directories)].sort().join(SEPARATOR);
}

/** The address of the repository around a path of this machine; `undefined` if the text is no path. Throws if there is no repository. */
export function repositoryAt(text: string): string | undefined {
  if (!/^(?:\.{1,2}(?:\/|$)|\/)/.test(text)) return undefined;
  const start = resolve(text);
  if (!existsSync(start)) throw new InvalidArgumentError(`${start} does not exist.`);
  for (let path = realpathSync(start); ; path = dirname(path)) {
    if (existsSync(join(path, ".git")) || (existsSync(join(path, "HEAD")) && existsSync(join(path, "objects"))))
      return pathToFileURL(path).href;
    if (path === dirname(path)) throw new InvalidArgumentError(`${start} is in no git repository.`);
  }
}

/** Throws if this stack does not clone from a file address. The sandbox itself checks any other address. */
export function requireCloned(paths: StackPaths, url: string): void {
  if (!url.startsWith("file:///") || !URL.canParse(url)) return;
  const named = liveRecord(paths, "hands")?.settings["repositories"];
  if (named === undefined) return;
  const path = fileURLToPath(url);
  if (named.split(SEPARATOR).some((directory) => directory !== "" && `${path}/`.startsWith(directory.replace(/\/*$/, "/")))) return;
  const message = `the sandbox clones no repository below ${path}: \`leaf down\`, then \`leaf up --repositories ${path}\``;
  throw new CliError(ExitCode.refused, "not_cloned", message);
}
