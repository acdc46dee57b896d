import { HarnessError } from "@serverless-harness/kit/errors";
import type { LeafStore } from "@serverless-harness/session";
import { requireScope, tenantFor } from "../callers/caller.ts";
import { errorBody, type Reply } from "../http/reply.ts";
import { type KnownHandler, queryOf } from "../http/router.ts";
import type { Leaves } from "../leaves.ts";
import type { Volume } from "../volume/volume.ts";
import { missing, statusReply } from "./reply.ts";
import { currentAnswer } from "./runs.ts";
import { runId, sessionName } from "./session-name.ts";
import { SessionRuns } from "./session-runs.ts";

/** Of a marker or gate file. */
const MAX_BYTES = 256 * 1024;
const QUEUED = { status: "queued" } as const;

/**
 * `GET /runs/status?sessionId=...[&tenant=...]`: where the session's newest run stands; `queued` for all that is not over and asks nothing. With
 * `doneMarker=...[&gateMarker=...]` instead: what these files say.
 */
export function status(leaves: Leaves, store: LeafStore, volume: Volume | undefined): KnownHandler {
  const sessions = new SessionRuns(leaves, store);
  return async ({ request, caller }) => {
    requireScope(caller, "leaves:read");
    const query = queryOf(request);
    const sessionId = query.get("sessionId") ?? "";
    const doneMarker = query.get("doneMarker") ?? "";
    if (sessionId === "" && doneMarker !== "")
      return markedStatus(volume?.of(tenantFor(caller, "tenant", "")), doneMarker, query.get("gateMarker") ?? "");
    if (sessionId === "") return missing("sessionId", "/runs/status?sessionId=...");
    const leaf = await sessions.newest(caller, sessionName(runId({ sessionId, tenant: query.get("tenant") ?? "" })));
    return statusReply(leaf === undefined ? QUEUED : await currentAnswer(store, leaf));
  };
}

async function markedStatus(volume: Volume | undefined, doneMarker: string, gateMarker: string): Promise<Reply> {
  const marker = await jsonAt(volume, doneMarker);
  if (marker === "forbidden") return forbidden("doneMarker");
  if (typeof marker?.["status"] === "string") {
    const { status, reason } = marker;
    return { status: 200, body: typeof reason === "string" ? { status, reason } : { status } };
  }
  if (gateMarker === "") return { status: 200, body: QUEUED };
  const gate = await jsonAt(volume, gateMarker);
  if (gate === "forbidden") return forbidden("gateMarker");
  if (gate?.["status"] !== "awaiting_approval" || typeof gate["gateId"] !== "number") return { status: 200, body: QUEUED };
  return { status: 200, body: { status: "awaiting_approval", gateId: gate["gateId"] } };
}

/** The object that a file holds, `undefined` where it holds none. */
async function jsonAt(volume: Volume | undefined, path: string): Promise<Record<string, unknown> | undefined | "forbidden"> {
  try {
    const content = await volume?.read(path, MAX_BYTES);
    if (volume === undefined) return "forbidden";
    const value: unknown = content === undefined ? undefined : JSON.parse(content.toString("utf8"));
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch (error) {
    if (error instanceof HarnessError && error.reason === "path_outside") return "forbidden";
    if (error instanceof HarnessError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function forbidden(parameter: string): Reply {
  return { status: 403, body: errorBody(`${parameter}_forbidden`, `${parameter} must be a path inside of the volume (DISPATCHER_VOLUME)`) };
}
