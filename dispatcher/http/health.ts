import type { Logger } from "@serverless-harness/kit/log";
import type { Backlog } from "@serverless-harness/session";
import type { Authenticator } from "../auth.ts";
import type { Dependencies } from "../dependencies.ts";
import { VERSION } from "../version.ts";
import type { Reply } from "./reply.ts";
import type { Handler } from "./router.ts";

/**
 * `GET /health`: 200 `ok`, or 503 `draining` / `store_unavailable`. Status and version are for everybody, the rest for who has the
 * token; a wrong token is refused, so that a client learns of it here.
 */
export function health({ store, waker, auth, drain, log }: Dependencies): Handler {
  return async ({ request }) => {
    const trusted = isTrusted(auth, request.headers.authorization);
    const backlog = await store.backlog().catch((error: unknown) => unavailable(error, log));
    const status = backlog === undefined ? "store_unavailable" : drain.draining ? "draining" : "ok";
    const details = trusted ? { ...(backlog === undefined ? {} : { backlog: { ...backlog } }), ...wakerDetails(waker.status()) } : {};
    return reply(status, details);
  };
}

function isTrusted(auth: Authenticator, header: string | undefined): boolean {
  if (header !== undefined) auth.require(header);
  return auth.accepts(header);
}

function unavailable(error: unknown, log: Logger): Backlog | undefined {
  log.error({ err: error }, "the leaf store can't be read");
  return undefined;
}

function wakerDetails({ kind, ...counts }: ReturnType<Dependencies["waker"]["status"]>): Record<string, unknown> {
  return { waker: kind, ...counts };
}

function reply(status: string, details: Record<string, unknown>): Reply {
  return { status: status === "ok" ? 200 : 503, body: { status, version: VERSION, ...details } };
}
