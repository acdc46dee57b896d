import { spawn } from "node:child_process";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { REPOSITORY } from "../config.ts";
import { CliError } from "../errors.ts";
import { ExitCode } from "../exit-codes.ts";
import type { ServiceSpec } from "./services.ts";

/** Exit code of a service whose settings can't be used. */
const BAD_SETTINGS = 64;

/**
 * Throw, with a line for each problem, where brains could not start with the settings that the dispatcher would hand to them: it starts them only
 * when there is work, which would then wait for ever.
 */
export async function requireUsableBrain({ program, environment }: ServiceSpec): Promise<void> {
  const brain = join(REPOSITORY, program.replace("dispatcher/main", "brain/main"));
  const child = spawn(process.execPath, [brain, "--check"], { env: environment, stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise<number | null>((resolve) => {
    child.on("error", () => resolve(null));
    child.on("close", resolve);
  });
  const [code, said] = await Promise.all([ended, child.stderr === null ? "" : text(child.stderr).catch(() => "")]);
  if (code !== BAD_SETTINGS) return;
  throw new CliError(ExitCode.usage, "bad_settings", `brains can't start with these settings, so nothing was started:\n${said.trim()}`);
}
