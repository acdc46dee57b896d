import { create } from "@bufbuild/protobuf";
import { pidNamespace } from "@serverless-harness/kit/proc";
import { type Worker, WorkerSchema } from "@serverless-harness/proto/leaf";

/** This process, as leaves that it runs name it. */
export function thisWorker(name: string): Worker {
  return create(WorkerSchema, {
    name,
    pid: BigInt(process.pid),
    pidNamespace: pidNamespace(),
    startedAtMs: BigInt(Math.round(performance.timeOrigin)),
  });
}
