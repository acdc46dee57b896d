import { create } from "@bufbuild/protobuf";
import { type ExecSpec, ExecSpecSchema, Retain } from "@serverless-harness/proto/hands";
import type { ExecRequest } from "./types.ts";

/** A request in the form that hands takes. */
export function execSpec(workspace: string, epoch: bigint, request: ExecRequest): ExecSpec {
  const { command, capture } = request;
  return create(ExecSpecSchema, {
    execId: request.execId,
    workspace,
    epoch,
    command: "shell" in command ? { case: "shell", value: command.shell } : { case: "argv", value: { args: [...command.argv] } },
    cwd: request.cwd ?? "",
    env: { ...request.env },
    clearEnv: request.clearEnv ?? false,
    stdinOpen: request.stdinOpen ?? false,
    timeoutMs: milliseconds(request.timeoutMs),
    noOutputTimeoutMs: milliseconds(request.noOutputTimeoutMs),
    killGraceMs: milliseconds(request.killGraceMs),
    ...(capture === undefined
      ? {}
      : {
          capture: {
            maxBytes: BigInt(capture.maxBytes),
            maxLines: BigInt(capture.maxLines),
            retain: capture.retain === "head" ? Retain.HEAD : Retain.TAIL,
            spill: capture.spill ?? false,
          },
        }),
  });
}

/** Whole milliseconds; a time that is not 0 never becomes 0, which would mean none. */
function milliseconds(value: number | undefined): bigint {
  return BigInt(Math.ceil(value ?? 0));
}
