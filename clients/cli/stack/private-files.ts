import { chmodSync, lstatSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { CliError, ExitCode } from "../errors.ts";
import { userId } from "../user.ts";

/**
 * Make a directory that only its owner can enter (mode 0700), or check that an existing one is ours: in a shared
 * directory like /tmp anybody could have made it before us.
 */
export function ensurePrivateDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new CliError(ExitCode.refused, "no_directory", `can't make ${path}: ${String((error as Error).message)}`, error);
  }
  const found = lstatSync(path);
  if (!found.isDirectory()) throw new CliError(ExitCode.refused, "no_directory", `${path} is not a directory: move it away`);
  if (found.uid !== userId()) {
    throw new CliError(ExitCode.refused, "foreign_directory", `${path} belongs to another user: choose another with --dir`);
  }
  if ((found.mode & 0o077) !== 0) chmodSync(path, 0o700);
}

/** Write a file that only its owner reads. It appears whole or not at all. */
export function writePrivate(path: string, text: string): void {
  const draft = `${path}.${process.pid}.new`;
  rmSync(draft, { force: true });
  writeFileSync(draft, text, { flag: "wx", mode: 0o600 });
  renameSync(draft, path);
}
