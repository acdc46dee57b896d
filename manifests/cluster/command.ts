import { spawn } from "node:child_process";
import { childEnvironment } from "./config.ts";

/** How to run a program. */
export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** What it reads from its standard input; nothing by default. */
  readonly input?: string;
}

/** What a program wrote, and its exit code: 128 if a signal ended it. */
export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Run a program to its end, whatever that is. Throws if it can't be started. */
export async function attempt(program: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const child = spawn(program, args, { cwd: options.cwd, env: childEnvironment(options.env), stdio: "pipe" });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  // A program that ends before it has read everything is judged by its exit code.
  child.stdin.on("error", () => undefined).end(options.input ?? "");
  return await new Promise((resolve, reject) => {
    child.on("error", (error) => reject(new Error(`${program} can't be started: ${error.message}`)));
    child.on("close", (code) => resolve({ code: code ?? 128, stdout, stderr }));
  });
}

/** Run a program that has to succeed; what it wrote to its standard output. Throws with the end of what it complained about. */
export async function run(program: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await attempt(program, args, options);
  if (code === 0) return stdout;
  const end = (stderr.trim() || stdout.trim()).split("\n").slice(-12).join("\n");
  throw new Error(`${program} ${args.slice(0, 3).join(" ")} ended with exit code ${code}:\n${end}`);
}
