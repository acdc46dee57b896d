import type { ServiceImpl } from "@connectrpc/connect";
import type { ExecService } from "@serverless-harness/proto/hands";
import { EndNotices } from "../../exec/end-notices.ts";
import { validateNotice } from "../../exec/validate.ts";
import type { ExecDeps } from "./deps.ts";

export function notifyEnd(deps: ExecDeps): ServiceImpl<typeof ExecService>["notifyEnd"] {
  const notices = new EndNotices(deps.log);
  return async (request) => {
    const url = validateNotice(request);
    deps.noticeAddresses.check(url);
    notices.add(await deps.execs.attach(request.workspace, request.execId, request.epoch), url, request.body);
    return {};
  };
}
