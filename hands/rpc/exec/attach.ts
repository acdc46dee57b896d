import type { ServiceImpl } from "@connectrpc/connect";
import type { ExecService } from "@serverless-harness/proto/hands";
import { readCapture } from "../../exec/output-capture.ts";
import { validateAttach } from "../../exec/validate.ts";
import type { ExecDeps } from "./deps.ts";
import { eventsOf } from "./events.ts";

export function attach(deps: ExecDeps): ServiceImpl<typeof ExecService>["attach"] {
  return async function* (request, { signal }) {
    validateAttach(request);
    const exec = await deps.execs.attach(request.workspace, request.execId, request.epoch);
    const capture = request.capture === undefined ? exec.intent.capture : readCapture(request.capture);
    const options = { fromOffset: Number(request.fromOffset), capture, attached: true, signal };
    for await (const event of eventsOf(exec, options)) yield { event };
  };
}
