import { spawn } from "node:child_process";
import { join } from "node:path";

/** The checkout. */
export const ROOT = join(import.meta.dirname, "..");

/** The installed tools, the current Node among them, before whatever else the machine has. */
export const TOOL_PATH = `${join(ROOT, "node_modules", ".bin")}:${process.env["PATH"] ?? ""}`;

/** How a program ended. */
export interface Finished {
  /** Exit code; 128 if a signal ended it or it could not be started. */
  readonly code: number;
  /** Standard output and error, as they came. Empty if they were shown. */
  readonly output: string;
}

/** Run a program in the checkout. `show`: its output goes to ours, instead of being returned. */
export async function run(command: string, args: readonly string[], options: { readonly show?: boolean } = {}): Promise<Finished> {
  const child = spawn(command, args, {
    cwd: ROOT,
    env: { ...process.env, PATH: TOOL_PATH },
    stdio: options.show === true ? "inherit" : ["ignore", "pipe", "pipe"],
  });
  const forward = (signal: NodeJS.Signals): void => void child.kill(signal);
  process.on("SIGINT", forward).on("SIGTERM", forward);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding("utf8").on("data", (text: string) => (output += text));
  const code = await new Promise<number>((resolve) => {
    child.on("error", (error) => {
      output += `${command}: ${error.message}\n`;
      resolve(128);
    });
    child.on("close", (exitCode) => resolve(exitCode ?? 128));
  });
  process.off("SIGINT", forward).off("SIGTERM", forward);
  return { code, output };
}
