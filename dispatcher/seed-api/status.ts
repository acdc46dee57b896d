import type { LeafStore } from "@serverless-harness/session";
import { requireScope } from "../caller.ts";
import type { KnownHandler } from "../http/router.ts";
import type { Leaves } from "../leaves.ts";
import { missing, statusReply } from "./reply.ts";
import { currentAnswer } from "./runs.ts";
import { runId, sessionName } from "./session-name.ts";
import { SessionRuns } from "./session-runs.ts";

/** `GET /runs/status?sessionId=...[&tenant=...]`: where the session's newest run stands. `queued` for all that is not over and asks nothing. */
export function status(leaves: Leaves, store: LeafStore): KnownHandler {
  const sessions = new SessionRuns(leaves, store);
  return async ({ request, caller }) => {
    requireScope(caller, "leaves:read");
    const query = new URL(request.url ?? "", "http://dispatcher").searchParams;
    const sessionId = query.get("sessionId") ?? "";
    if (sessionId === "") return missing("sessionId", "/runs/status?sessionId=...");
    const leaf = await sessions.newest(caller, sessionName(runId({ sessionId, tenant: query.get("tenant") ?? "" })));
    return statusReply(leaf === undefined ? { status: "queued" } : await currentAnswer(store, leaf));
  };
}
