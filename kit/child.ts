import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "./errors.ts";

/** What the system calls say when there is no room for another process, thread or descriptor. */
const EXHAUSTED: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "EAGAIN", "ENOMEM"]);

/**
 * Start a program. Node tells of some failures by throwing and of others by an `error` event, and out of descriptors it leaves the streams out, so that
 * whoever uses one fails before it hears why. Here what is out is thrown: UNAVAILABLE `out_of_resources`. A program that is missing or can't be
 * executed is an `error` event, with all streams there.
 */
export function startChild(program: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  let child: ChildProcess;
  try {
    child = spawn(program, args, options);
  } catch (error) {
    throw outOfResources(error, program) ?? error;
  }
  if (child.stdio !== undefined) return child;
  child.on("error", () => undefined);
  throw noRoomFor(program, "EMFILE", undefined);
}

/** The error for a caller if a process could not be made for want of descriptors, processes or memory; `undefined` for any other reason. */
export function outOfResources(error: unknown, program: string): HarnessError | undefined {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  // Node's own word for a thread that got no memory or no descriptors.
  if (!EXHAUSTED.has(code) && code !== "ERR_WORKER_INIT_FAILED" && code !== "ERR_WORKER_OUT_OF_MEMORY") return undefined;
  return noRoomFor(program, code, error);
}

/** UNAVAILABLE `out_of_resources`: nothing was begun, and a later try may succeed. `code`: what the system said. */
export function noRoomFor(program: string, code: string, cause: unknown): HarnessError {
  const text = `${program} could not be started, as the sandbox is out of descriptors, processes or memory (${code}): try again`;
  return new HarnessError(Code.Unavailable, "out_of_resources", text, { cause });
}
