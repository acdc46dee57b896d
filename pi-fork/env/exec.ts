import { constants } from "node:os";
import {
  type Context,
  DEFAULT_MAX_BYTES,
  DEFAULT_MAX_LINES,
  ExecutionError,
  HarnessClosed,
  HarnessFault,
  type ShellExecOptions,
  type ShellExecResult,
} from "@earendil-works/pi-agent-core";
import type { ExecHandle, ExecRequest, ExecUpdate, WorkspaceClient } from "@serverless-harness/hands/client";
import type { HarnessError } from "@serverless-harness/kit/errors";
import { spanIdOf, withParent } from "@serverless-harness/kit/tracing/trace-parent";
import { EndCause, type Ended } from "@serverless-harness/proto/hands";
import { nextEffectId } from "./context.ts";
import { isFatal, toExecutionError } from "./errors.ts";
import { type BoundedOutput, type OutputLimits, OutputView } from "./output-view.ts";
import { PacedPublisher } from "./paced.ts";
import { resolvePath } from "./paths.ts";

/** Where commands run. */
export interface ExecTarget {
  readonly workspace: WorkspaceClient;
  /** Absolute path of the workspace, as a command in it sees it. */
  readonly cwd: string;
  /** Told of an error that no result may be made of. */
  readonly onLost: (error: HarnessError) => void;
  /** The trace that commands belong to, which their variable TRACEPARENT tells them; empty or absent: they are told of none. */
  readonly traceParent?: string | undefined;
  /**
   * Told that the sandbox has a command, how long it has run by then, in milliseconds, and for how long of that it has written nothing; `undefined`: it
   * is over, and its end comes next.
   */
  readonly onStarted?: ((execId: string, ranForMs: number | undefined, silentMs: number) => void) | undefined;
}

/**
 * Run one command in the sandbox, under the id of the tool call in `context`. If the harness closes or faults meanwhile, the
 * command is let go of and goes on; if an abort was asked for, it is ended, and its end is waited for. Rejects with
 * {@link ExecutionError} only.
 */
export async function runCommand(
  target: ExecTarget,
  command: string,
  options: ShellExecOptions,
  context: Context,
): Promise<ShellExecResult> {
  if (context.abortSignal?.aborted) throw new ExecutionError("aborted", "aborted");
  const limits = outputLimits(options);
  const problem = optionsProblem(options.timeout, limits);
  if (problem !== undefined) throw problem;
  const running = new RunningCommand(options, new OutputView(limits), context);
  try {
    const execId = nextEffectId(context);
    const env = { ...traceVariables(target.traceParent, execId), ...options.env };
    const request = execRequest(command, target.cwd, { ...options, ...(Object.keys(env).length === 0 ? {} : { env }) }, limits, execId);
    const handle = target.workspace.exec(request, (update) => {
      if (update.kind === "started") target.onStarted?.(request.execId, ranFor(update), update.attached ? update.silentMs : 0);
      running.take(update);
    });
    return await running.follow(handle);
  } catch (error) {
    if (isFatal(error)) target.onLost(error);
    throw running.failure() ?? toExecutionError(error);
  } finally {
    running.release();
  }
}

/** A command that is asked for again, by another process, has to get the very same: so its span's id follows from its own. */
function traceVariables(traceParent: string | undefined, execId: string): Record<string, string> {
  const own = withParent(traceParent ?? "", spanIdOf(execId));
  return own === "" ? {} : { TRACEPARENT: own };
}

/** By two clocks: of a command that was found running it is known about as well as they agree. */
function ranFor({ pid, startedAtMs, attached }: Extract<ExecUpdate, { kind: "started" }>): number | undefined {
  if (pid === 0) return undefined;
  return attached ? Math.max(0, Date.now() - startedAtMs) : 0;
}

/** The harness let go of its work: it goes on elsewhere, so nothing may be undone for it. */
function isSuspension(reason: unknown): boolean {
  return reason instanceof HarnessClosed || reason instanceof HarnessFault;
}

/** One command between its start and its end. */
class RunningCommand {
  readonly #options: ShellExecOptions;
  readonly #view: OutputView;
  readonly #context: Context;
  readonly #publisher = new PacedPublisher(() => this.#publish());
  readonly #onAbort = (): void => this.#stop();
  #handle: ExecHandle | undefined;
  #spillPath: string | undefined;
  #problem: string | undefined;
  #callbackError: ExecutionError | undefined;

  constructor(options: ShellExecOptions, view: OutputView, context: Context) {
    this.#options = options;
    this.#view = view;
    this.#context = context;
  }

  take(update: ExecUpdate): void {
    if (update.kind === "started") return;
    if (update.kind === "output") this.#view.push(update.stream, update.data);
    else this.#view.skip(update.to - update.from);
    this.#publisher.touch();
  }

  async follow(handle: ExecHandle): Promise<ShellExecResult> {
    this.#handle = handle;
    const signal = this.#context.abortSignal;
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (signal?.aborted || this.#callbackError !== undefined) this.#stop();
    return this.#result(await handle.ended);
  }

  /** What went wrong on this side, whatever the sandbox says. */
  failure(): ExecutionError | undefined {
    if (this.#callbackError !== undefined) return this.#callbackError;
    return this.#context.abortSignal?.aborted ? new ExecutionError("aborted", "aborted") : undefined;
  }

  release(): void {
    this.#publisher.stop();
    this.#context.abortSignal?.removeEventListener("abort", this.#onAbort);
  }

  #result(ended: Ended): ShellExecResult {
    this.#view.finish({ bytes: Number(ended.totalBytes), newlines: Number(ended.totalLines) });
    if (ended.spillPath !== "") this.#spillPath = ended.spillPath;
    // Of a command that came to its own end there is nothing else to say.
    if (ended.cause === EndCause.EXITED && ended.message !== "") this.#problem = ended.message;
    if (ended.totalBytes > 0n || this.#problem !== undefined) {
      this.#publisher.touch();
      this.#publisher.flush();
    }
    const failure = this.failure() ?? endFailure(ended, this.#options.timeout);
    if (failure !== undefined) throw failure;
    const { text: _text, ...metadata } = this.#output();
    return { exitCode: exitCodeOf(ended), ...metadata };
  }

  #output(): BoundedOutput {
    const view = this.#view.snapshot();
    return {
      ...view,
      ...(this.#spillPath === undefined || !view.truncation.truncated ? {} : { spillPath: this.#spillPath }),
      ...(this.#problem === undefined ? {} : { problem: this.#problem }),
    };
  }

  #publish(): number {
    const output = this.#output();
    try {
      this.#options.onUpdate?.({ kind: "replace", output }, this.#context);
    } catch (error) {
      const cause = error instanceof Error ? error : new Error(String(error));
      this.#callbackError ??= new ExecutionError("callback_error", cause.message, cause);
      this.#stop();
    }
    return output.text.length;
  }

  #stop(): void {
    if (isSuspension(this.#context.abortSignal?.reason)) this.#handle?.detach();
    else void this.#handle?.cancel().catch(() => undefined);
  }
}

/** Longest timeout that a timer can hold. */
const MAX_TIMEOUT_SECONDS = 2_147_483_647 / 1000;

/** What of the output is wanted; unset bounds are those of Pi's tools. */
function outputLimits(options: ShellExecOptions): OutputLimits {
  const limits = options.capture?.limits;
  return {
    maxBytes: limits?.maxBytes ?? DEFAULT_MAX_BYTES,
    maxLines: limits?.maxLines ?? DEFAULT_MAX_LINES,
    retain: limits?.retain ?? "tail",
  };
}

/** Options that can't be used, in the words of Pi's own environment. */
function optionsProblem(timeout: number | undefined, { maxBytes, maxLines }: OutputLimits): ExecutionError | undefined {
  if (timeout !== undefined && !(Number.isFinite(timeout) && timeout > 0)) {
    return new ExecutionError("timeout", "Invalid timeout: must be a finite number of seconds");
  }
  if (timeout !== undefined && timeout > MAX_TIMEOUT_SECONDS) {
    return new ExecutionError("timeout", `Invalid timeout: maximum is ${MAX_TIMEOUT_SECONDS} seconds`);
  }
  if (!(Number.isFinite(maxBytes) && maxBytes > 0))
    return new ExecutionError("unknown", "Output maxBytes must be a positive finite number");
  if (!(Number.isInteger(maxLines) && maxLines > 0)) return new ExecutionError("unknown", "Output maxLines must be a positive integer");
  return undefined;
}

/** The command as hands takes it. It follows from its arguments alone: a replayed call has to ask for the very same. */
function execRequest(command: string, cwd: string, options: ShellExecOptions, limits: OutputLimits, execId: string): ExecRequest {
  return {
    execId,
    command: { shell: command },
    cwd: options.cwd === undefined ? cwd : resolvePath(cwd, options.cwd),
    capture: { ...limits, spill: options.capture?.spill ?? false },
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.inheritEnv === false ? { clearEnv: true } : {}),
    ...(options.timeout === undefined ? {} : { timeoutMs: Math.ceil(options.timeout * 1000) }),
  };
}

const LOST =
  "The sandbox died while this command ran: whether it completed, and what it changed, is unknown. It was not run again. " +
  "Look at what it did before you run it a second time.";

const SHUT_DOWN =
  "The sandbox was shut down while this command ran, which ended it before it was done. Nobody cancelled it, and it was not run again. " +
  "Look at what it did before you run it a second time.";

/** The exit code as a shell would tell it. */
function exitCodeOf(ended: Ended): number {
  if (ended.cause === EndCause.EXITED) return ended.exitCode;
  return 128 + (constants.signals[ended.signal as NodeJS.Signals] ?? 0);
}

/** Why there is no exit code that the model could rely on; `undefined` if there is one. `timeout` in seconds, as asked for. */
function endFailure(ended: Ended, timeout: number | undefined): ExecutionError | undefined {
  switch (ended.cause) {
    case EndCause.EXITED:
    case EndCause.SIGNALED:
      return undefined;
    case EndCause.TIMEOUT:
      if (timeout !== undefined) return new ExecutionError("timeout", `timeout:${timeout}`);
      return new ExecutionError("unknown", "The sandbox ended the command: it ran for longer than the sandbox allows.");
    case EndCause.NO_OUTPUT_TIMEOUT:
      return new ExecutionError("unknown", "The sandbox ended the command: it wrote nothing for too long.");
    case EndCause.CANCELLED:
      return new ExecutionError("unknown", "The command was cancelled.");
    case EndCause.SHUT_DOWN:
      return new ExecutionError("unknown", SHUT_DOWN);
    case EndCause.OUT_OF_MEMORY:
      return new ExecutionError("unknown", `The command ran out of memory: ${ended.message}.`);
    case EndCause.LIMIT_REACHED:
      return new ExecutionError("unknown", `The sandbox ended the command: ${ended.message}.`);
    case EndCause.START_FAILED:
      return new ExecutionError("spawn_error", ended.message || "The command could not be started.");
    default:
      return new ExecutionError("unknown", LOST);
  }
}
