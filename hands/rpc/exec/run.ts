import type { ServiceImpl } from "@connectrpc/connect";
import type { ExecService } from "@serverless-harness/proto/hands";
import { readCapture } from "../../exec/output-capture.ts";
import { validateRun } from "../../exec/validate.ts";
import type { ExecDeps } from "./deps.ts";
import { eventsOf } from "./events.ts";

export function run(deps: ExecDeps): ServiceImpl<typeof ExecService>["run"] {
  return async function* (request, { signal }) {
    const spec = validateRun(request);
    const { exec, attached } = await deps.execs.run(spec);
    const capture = spec.capture === undefined ? undefined : readCapture(spec.capture);
    const options = { fromOffset: Number(request.fromOffset), capture, attached, signal };
    for await (const event of eventsOf(exec, options)) yield { event };
  };
}
