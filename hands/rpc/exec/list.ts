import type { ServiceImpl } from "@connectrpc/connect";
import { Validation } from "@serverless-harness/kit/validate";
import type { ExecService } from "@serverless-harness/proto/hands";
import type { ExecDeps } from "./deps.ts";
import { execMessage } from "./messages.ts";

const DEFAULT_PAGE = 100;
const MAX_PAGE = 1000;

export function list(deps: ExecDeps): ServiceImpl<typeof ExecService>["list"] {
  return async (request) => {
    const validation = new Validation();
    validation.workspace("workspace", request.workspace);
    validation.range("page_size", request.pageSize, 0, MAX_PAGE);
    validation.check("page_token", /^(\d{1,15})?$/.test(request.pageToken), "must come from an earlier answer");
    validation.done();
    // A page goes on before the last exec of the one before: new ones don't shift it.
    const before = request.pageToken === "" ? Number.POSITIVE_INFINITY : Number(request.pageToken);
    const execs = await deps.execs.list(request.workspace, { runningOnly: request.runningOnly, before });
    const page = execs.slice(0, request.pageSize || DEFAULT_PAGE);
    const last = page.at(-1);
    const nextPageToken = last === undefined || page.length === execs.length ? "" : String(last.intent.seq);
    return { execs: page.map(execMessage), nextPageToken };
  };
}
