import { invalidArgument } from "@serverless-harness/kit/errors";
import type { ChannelRequest } from "@serverless-harness/proto/hands";

/** No exec and no workspace has a longer name, in characters. */
const MAX_NAME = 512;

/** Throws INVALID_ARGUMENT where a message names something that can't be: its name goes into answers, so it must not be of any size. */
export function assertNames({ request }: ChannelRequest): void {
  if (request.case === undefined || request.case === "ping") return;
  const named = request.case === "run" ? request.value.spec : request.value;
  for (const [field, name] of [
    ["exec_id", named?.execId],
    ["workspace", named?.workspace],
  ] as const) {
    if (name !== undefined && name.length > MAX_NAME)
      throw invalidArgument([{ field: `${request.case}.${field}`, description: `must be at most ${MAX_NAME} characters` }]);
  }
}
