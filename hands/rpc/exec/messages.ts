import { create } from "@bufbuild/protobuf";
import { type Exec as ExecMessage, ExecSchema } from "@serverless-harness/proto/hands";
import { endedMessage } from "../../exec/end.ts";
import type { Exec } from "../../exec/exec.ts";

/** An exec's record as clients get it. */
export function execMessage(exec: Exec): ExecMessage {
  return create(ExecSchema, {
    execId: exec.id,
    workspace: exec.workspace,
    commandPreview: exec.intent.preview,
    pid: BigInt(exec.pid),
    startedAtMs: BigInt(exec.startedAtMs),
    totalBytes: BigInt(exec.output.total),
    firstOffset: BigInt(exec.output.first),
    ...(exec.end === undefined ? {} : { ended: endedMessage(exec.end) }),
  });
}
