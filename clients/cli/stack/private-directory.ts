import { chmodSync, lstatSync, mkdirSync } from "node:fs";
import { CliError } from "../errors.ts";
import { ExitCode } from "../exit-codes.ts";
import { userId } from "../user.ts";

/**
 * Make a directory that only its owner can enter (mode 0700), or check that an existing one is ours: in a shared directory as /tmp
 * anybody could have made it before us.
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
