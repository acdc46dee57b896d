import type { ChildProcessByStdio } from "node:child_process";
import { existsSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { Code } from "@connectrpc/connect";
import { outOfResources, startChild } from "@serverless-harness/kit/child";
import { HarnessError } from "@serverless-harness/kit/errors";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import { type GitEnd, GitFailure } from "./git-failure.ts";
import { gitEnvironment, globalOptions, type Protocol } from "./git-settings.ts";

export interface GitOptions {
  /** Default `git`, found in `path`. */
  readonly program?: string;
  /** PATH of git and what it starts. Default `/usr/local/bin:/usr/bin:/bin`. */
  readonly path?: string;
  /** Further variables, as `https_proxy` and `GIT_SSL_CAINFO`. Default: none, not even the daemon's own. */
  readonly environment?: Readonly<Record<string, string>>;
}

export interface GitCall {
  /** The repository; it must be out of the reach of commands. `undefined` only for what makes one. */
  readonly gitDir: string | undefined;
  /** A directory that git writes files to; only one that no command reaches yet. */
  readonly workTree?: string;
  /** Default: `gitDir`. */
  readonly cwd?: string;
  /** Ways to other repositories. Default: none. */
  readonly protocols?: readonly Protocol[];
  /** Settings for this run, as `name=value`, which go before all others. Default: none. */
  readonly settings?: readonly string[];
  /** The index. Default: the repository's own. */
  readonly indexFile?: string;
  /** Open files that it inherits, as 3 and on. Default: none. */
  readonly descriptors?: readonly number[];
  /** Default 60 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** A call whose output is kept. */
export interface CollectedCall extends GitCall {
  readonly input?: string | Uint8Array;
  /** Default 256 MiB. */
  readonly maxOutputBytes?: number;
}

/** A git process that is spoken to. */
export interface RunningGit {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Resolves at a good end, rejects with a {@link GitFailure} at any other. Never unhandled. */
  readonly ended: Promise<void>;
  /** End it and what it started. */
  kill(): void;
}

const DEFAULT_TIMEOUT_MS = 60_000;
const MAX_OUTPUT = 256 * 1024 * 1024;
/** What is kept of the end of stderr, in bytes. */
const MAX_STDERR = 16 * 1024;

/** Runs git: by its arguments and never by a shell, with a bounded time, without any configuration or variable but those given here. */
export class Git {
  readonly #options: GitOptions;

  constructor(options: GitOptions = {}) {
    this.#options = options;
  }

  /** It reaches https hosts by a proxy. */
  get proxied(): boolean {
    return (this.#options.environment?.["https_proxy"] ?? "") !== "";
  }

  /** Run a command and return what it wrote to stdout. Throws a {@link GitFailure}. */
  async run(args: readonly [string, ...string[]], call: CollectedCall): Promise<Buffer> {
    const limit = call.maxOutputBytes ?? MAX_OUTPUT;
    const running = this.#start(args, call);
    running.stdin.end(call.input);
    const chunks: Buffer[] = [];
    let bytes = 0;
    running.stdout.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > limit) running.stop({ kind: "output", bytes: limit });
      else chunks.push(chunk);
    });
    await running.ended;
    return Buffer.concat(chunks);
  }

  /** {@link run}, for a command whose output is text. Without the newline at its end. */
  async text(args: readonly [string, ...string[]], call: CollectedCall): Promise<string> {
    return (await this.run(args, call)).toString("latin1").replace(/\n$/, "");
  }

  /**
   * Start a command; UNAVAILABLE `out_of_resources` if there is no room for one. Whoever does has to read its stdout,
   * and to end its stdin or to kill it.
   */
  start(args: readonly [string, ...string[]], call: GitCall): RunningGit {
    const { stdin, stdout, ended, stop } = this.#start(args, call);
    return { stdin, stdout, ended, kill: () => stop({ kind: "aborted" }) };
  }

  #start(args: readonly [string, ...string[]], call: GitCall): Omit<RunningGit, "kill"> & { stop(end: GitEnd): void } {
    const { program = "git", path = "/usr/local/bin:/usr/bin:/bin", environment = {} } = this.#options;
    const options = globalOptions(call.gitDir, call.protocols ?? []);
    options.push(...(call.settings ?? []).flatMap((setting) => ["-c", setting]));
    if (call.workTree !== undefined) options.push(`--work-tree=${call.workTree}`);
    // A process group of its own, so that what git starts ends with it.
    const cwd = call.cwd ?? call.workTree ?? call.gitDir;
    const child = startChild(program, [...options, ...args], {
      cwd,
      env: { ...gitEnvironment(path, environment), ...(call.indexFile === undefined ? {} : { GIT_INDEX_FILE: call.indexFile }) },
      stdio: ["pipe", "pipe", "pipe", ...(call.descriptors ?? [])],
      detached: true,
    }) as Child;
    let forced: GitEnd | undefined;
    let closed = false;
    const stop = (end: GitEnd): void => {
      forced ??= end;
      if (!closed) killGroup(child);
      // Nobody may be reading any more.
      child.stdin.destroy();
      child.stdout.destroy();
    };
    // It may end before it has read everything; its exit code tells why.
    child.stdin.on("error", () => undefined);
    const ended = endOf(child, args[0], () => forced).catch((error: unknown) => {
      throw errnoOf(error) === "ENOENT" && (cwd === undefined || existsSync(cwd))
        ? gitMissing(error)
        : (outOfResources(error, "git") ?? error);
    });
    ended.catch(() => undefined);
    const timeoutMs = call.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const timer = setTimeout(() => stop({ kind: "timeout", ms: timeoutMs }), timeoutMs);
    const abort = (): void => stop({ kind: "aborted" });
    if (call.signal?.aborted === true) abort();
    call.signal?.addEventListener("abort", abort);
    child.on("close", () => {
      closed = true;
      clearTimeout(timer);
      call.signal?.removeEventListener("abort", abort);
    });
    return { stdin: child.stdin, stdout: child.stdout, ended, stop };
  }
}

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

function killGroup(child: Child): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch (error) {
    if (errnoOf(error) !== "ESRCH") throw error;
  }
}

function endOf(child: Child, command: string, forced: () => GitEnd | undefined): Promise<void> {
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr = (stderr + chunk.toString("latin1")).slice(-MAX_STDERR);
  });
  return new Promise((resolve, reject) => {
    child.on("error", (error) => {
      if (child.pid === undefined) reject(error);
    });
    child.on("close", (code, signal) => {
      const end = forced() ?? (code === null ? ({ kind: "signal", signal: signal ?? "" } as const) : ({ kind: "exit", code } as const));
      if (end.kind === "exit" && end.code === 0) resolve();
      else reject(new GitFailure(command, end, stderr));
    });
  });
}

function gitMissing(cause: unknown): HarnessError {
  return new HarnessError(Code.FailedPrecondition, "git_missing", "git is not installed in this sandbox: install it", { cause });
}
