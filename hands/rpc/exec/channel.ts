import type { ServiceImpl } from "@connectrpc/connect";
import type { ExecService } from "@serverless-harness/proto/hands";
import type { ExecDeps } from "./deps.ts";

export function channel(deps: ExecDeps): ServiceImpl<typeof ExecService>["channel"] {
  return (requests, context) => deps.channels.serve(requests, context.signal);
}
