import { spawn } from "node:child_process";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { CliError } from "../errors.ts";
import { ExitCode } from "../exit-codes.ts";
import { bundleOf } from "./programs.ts";
import type { ServiceSpec } from "./services.ts";
import { nodeOf } from "./versions.ts";

/** Exit code of a service whose settings can't be used. */
const BAD_SETTINGS = 64;

/**
 * Throw, with a line for each problem, where brains could not start with the settings that the dispatcher would hand to them: it starts them only
 * when there is work, which would then wait for ever.
 */
export async function requireUsableBrain({ version, environment }: ServiceSpec): Promise<void> {
  const brain = join(version.root, bundleOf("brain"));
  // Where the dispatcher is, it tells brains itself, once it listens.
  const env = { DISPATCHER_URL: "http://127.0.0.1:7433", ...environment };
  const child = spawn(nodeOf(version), [brain, "--check"], { env, stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise<number | null>((resolve) => {
    child.on("error", () => resolve(null));
    child.on("close", resolve);
  });
  const [code, said] = await Promise.all([ended, child.stderr === null ? "" : text(child.stderr).catch(() => "")]);
  if (code !== BAD_SETTINGS) return;
  throw new CliError(ExitCode.usage, "bad_settings", `brains can't start with these settings, so nothing was started:\n${said.trim()}`);
}
