import { DEFAULT_MAX_BYTES, DEFAULT_MAX_LINES, ExecutionError, type ShellExecOptions } from "@earendil-works/pi-agent-core";
import type { ExecRequest } from "@serverless-harness/hands/client";
import type { OutputLimits } from "./output-view.ts";
import { resolvePath } from "./paths.ts";

/** Longest timeout that a timer can hold. */
const MAX_TIMEOUT_SECONDS = 2_147_483_647 / 1000;

/** What of the output is wanted; unset bounds are those of Pi's tools. */
export function outputLimits(options: ShellExecOptions): OutputLimits {
  const limits = options.capture?.limits;
  return {
    maxBytes: limits?.maxBytes ?? DEFAULT_MAX_BYTES,
    maxLines: limits?.maxLines ?? DEFAULT_MAX_LINES,
    retain: limits?.retain ?? "tail",
  };
}

/** Options that can't be used, in the words of Pi's own environment. */
export function optionsProblem(timeout: number | undefined, { maxBytes, maxLines }: OutputLimits): ExecutionError | undefined {
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
export function execRequest(command: string, cwd: string, options: ShellExecOptions, limits: OutputLimits, execId: string): ExecRequest {
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
