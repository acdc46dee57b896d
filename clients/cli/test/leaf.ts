import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, onTestFinished } from "vitest";
import { stackPaths } from "../stack/paths.ts";
import { stackProcesses } from "../stack/processes.ts";

/** The command, as a user starts it. */
export const LEAF = join(import.meta.dirname, "..", "bin", "leaf.mjs");

/** How a command ended. */
export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a test gives to a command beside its arguments. */
export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string | Buffer;
  /** Called once the process is started. */
  readonly during?: (kill: (signal: NodeJS.Signals) => void) => void;
  /** Called with all that it wrote to stderr so far, whenever it writes. */
  readonly onStderr?: (sofar: string, kill: (signal: NodeJS.Signals) => void) => void;
  /** Called with all that it wrote to stdout so far, whenever it writes. */
  readonly onStdout?: (sofar: string, kill: (signal: NodeJS.Signals) => void) => void;
}

/** Variables of the caller that a command may see: no model key, no settings of a stack that the developer runs. */
export function cleanEnvironment(): Record<string, string> {
  const kept = ["PATH", "HOME", "LANG", "TMPDIR"].flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]));
  return Object.fromEntries(kept);
}

/** Runs `leaf` on one state directory. */
export class Leaf {
  readonly dir: string;

  constructor(dir: string) {
    this.dir = dir;
  }

  run(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
    return runProgram(process.execPath, [LEAF, ...args], { ...options, env: { LEAF_DIR: this.dir, LEAF_PORT: "0", ...options.env } });
  }

  /** Run with `--json`; the one document that it writes. Throws where it fails. */
  async json<T>(...args: readonly string[]): Promise<T> {
    const { code, stdout, stderr } = await this.run([...args, "--json"]);
    if (code !== 0) throw new Error(`leaf ${args.join(" ")} ended with ${code}: ${stderr}`);
    return JSON.parse(stdout) as T;
  }

  /** The stack's processes, from the operating system. */
  processes(part?: string): ReturnType<typeof stackProcesses> {
    return stackProcesses(stackPaths(this.dir)).filter((process) => part === undefined || process.part === part);
  }
}

/** Run a program to its end. */
export function runProgram(program: string, args: readonly string[], options: RunOptions & { readonly cwd?: string }): Promise<Ran> {
  const child = spawn(program, args, { env: { ...cleanEnvironment(), ...options.env }, cwd: options.cwd ?? tmpdir() });
  const kill = (signal: NodeJS.Signals): void => void child.kill(signal);
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    options.onStdout?.(stdout, kill);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
    options.onStderr?.(stderr, kill);
  });
  child.stdin.on("error", () => undefined).end(options.stdin ?? "");
  options.during?.(kill);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

/** Presses Ctrl-C, once, when this text is on stderr. */
export function interruptAt(text: string): NonNullable<RunOptions["onStderr"]> {
  let pressed = false;
  return (sofar, kill) => {
    if (pressed || !sofar.includes(text)) return;
    pressed = true;
    kill("SIGINT");
  };
}

/** A line that a user types into a shell, which has a `leaf` command. */
export function shellLine(line: string): readonly string[] {
  return ["-c", `leaf() { "${process.execPath}" "${LEAF}" "$@"; }; ${line}`];
}

/**
 * A place for a state directory that does not exist yet, `below` a temporary directory. What runs there is stopped and removed when the
 * test ends, however it ends.
 */
export async function temporaryLeaf(below = "state"): Promise<Leaf> {
  const { leaf, remove } = await newLeaf(below);
  onTestFinished(remove, 60_000);
  return leaf;
}

/** The same, for several tests: `remove` is theirs to call. */
async function newLeaf(below = "state"): Promise<{ leaf: Leaf; remove: () => Promise<void> }> {
  const parent = await mkdtemp(join(tmpdir(), "leaf-cli-"));
  const leaf = new Leaf(join(parent, below));
  const remove = async (): Promise<void> => {
    // Without a version file nothing was ever started.
    const { code, stderr } = existsSync(join(leaf.dir, "version")) ? await leaf.run(["down"]) : { code: 0, stderr: "" };
    await rm(parent, { recursive: true, force: true });
    if (code !== 0) throw new Error(`leaf down ended with ${code}: ${stderr}`);
  };
  return { leaf, remove };
}

/** A stack for all tests of a file: it starts before the first and stops after the last. `options`: of `leaf up`. */
export function sharedStack(...options: readonly string[]): { readonly leaf: Leaf } {
  const shared: { leaf: Leaf } = { leaf: new Leaf("") };
  let remove: () => Promise<void> = async () => undefined;
  beforeAll(async () => {
    ({ leaf: shared.leaf, remove } = await newLeaf());
    const { code, stderr } = await shared.leaf.run(["up", ...options]);
    if (code !== 0) throw new Error(`leaf up ended with ${code}: ${stderr}`);
  }, 60_000);
  afterAll(() => remove(), 60_000);
  return shared;
}

/** The documents of a stream of JSON lines. */
export function jsonLines(text: string): Array<Record<string, unknown>> {
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** A leaf, as commands write it. */
export interface LeafJson {
  readonly leaf: {
    readonly leafId: string;
    readonly state: string;
    readonly spec: { readonly sessionId: string; readonly labels?: object };
  };
}
