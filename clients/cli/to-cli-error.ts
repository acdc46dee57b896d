import { ConfigError } from "@serverless-harness/kit/env";
import { CommanderError } from "commander";
import { CliError } from "./errors.ts";
import { ExitCode } from "./exit-codes.ts";

/** Anything thrown, as the error that ends the command. */
export async function toCliError(error: unknown): Promise<CliError> {
  if (error instanceof CliError) return error;
  if (error instanceof ConfigError) return new CliError(ExitCode.usage, "bad_setting", error.message.replaceAll("\n", "; "));
  if (error instanceof CommanderError) return new CliError(ExitCode.usage, "usage", error.message.replace(/^error: /, ""));
  // Loading what knows calls takes longer than all else that a refused command line needs.
  const { callError } = await import("./call-error.ts");
  return callError(error);
}
