import { ConfigError } from "@serverless-harness/kit/env";
import { CommanderError } from "commander";
import { CliError } from "./errors.ts";
import { ExitCode } from "./exit-codes.ts";

/** Anything thrown, as the error that ends the command. */
export async function toCliError(error: unknown): Promise<CliError> {
  if (error instanceof CliError) return error;
  if (error instanceof ConfigError) return new CliError(ExitCode.usage, "bad_setting", error.message.replaceAll("\n", "; "));
  if (error instanceof CommanderError) return new CliError(ExitCode.usage, "usage", error.message.replace(/^error: /, ""));
  const disk = diskProblem(error);
  if (disk !== undefined) return new CliError(ExitCode.refused, "disk", disk);
  // Loading what knows calls takes longer than all else that a refused command line needs.
  const { callError } = await import("./call-error.ts");
  return callError(error);
}

/** SQLite's primary result codes for the same, https://www.sqlite.org/rescode.html */
const READ_ONLY = 8;
const FULL = 13;

/** What a disk that takes nothing more has to do with an error, and what to do about it. */
function diskProblem(error: unknown): string | undefined {
  const { code, errcode, path } = error as NodeJS.ErrnoException & { errcode?: number };
  const where = path === undefined ? "the state directory" : path;
  if (code === "ENOSPC" || code === "EDQUOT" || errcode === FULL)
    return `no room is left on the disk of ${where}: make some, then try again`;
  if (code === "EROFS" || errcode === READ_ONLY) return `${where} is read-only: make it writable, or choose another place with LEAF_DIR`;
  return undefined;
}
