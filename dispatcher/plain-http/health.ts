import { HarnessError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import type { Authenticator } from "../callers/authenticator.ts";
import type { Dependencies } from "../dependencies.ts";
import type { Reply } from "../http/reply.ts";
import type { Handler } from "../http/router.ts";
import { VERSION } from "../version.ts";

/**
 * `GET /health`: 200 `ok`, or 503 `draining` / `store_unavailable` / `store_lost` / `audit_unavailable` / `no_brain` / `no_sandbox`. Status and version are for everybody, the rest for the operator; a wrong token is refused, so that a client learns of it here.
 */
export function health({ store, waker, sandboxProbe, poolState, auth, audit, drain, log }: Dependencies): Handler {
  return async ({ request }) => {
    const trusted = await isTrusted(auth, request.headers.authorization);
    const [backlog, away] = await Promise.all([store.backlog().catch((error: unknown) => unavailable(error, log)), sandboxProbe.problem()]);
    const [crowd, sandboxes] = await Promise.all([poolState?.crowd(), poolState?.counts().catch(() => undefined)]);
    const trouble = "problem" in backlog ? backlog : undefined;
    const waking = waker.status();
    const unrecorded = audit.problem();
    const states: ReadonlyArray<readonly [status: string, is: boolean]> = [
      [trouble?.status ?? "", trouble !== undefined],
      ["draining", drain.draining],
      ["audit_unavailable", unrecorded?.refuses === true],
      ["no_brain", waking.problem !== undefined],
      ["no_sandbox", away !== undefined],
    ];
    const [status] = states.find(([, is]) => is) ?? ["ok"];
    const problem = trouble?.problem ?? unrecorded?.text ?? waking.problem ?? away ?? crowd;
    const details = {
      ...(trouble === undefined ? { backlog } : {}),
      ...(sandboxes && { sandboxes }),
      ...(problem === undefined ? {} : { problem }),
    };
    return reply(status, trusted ? { ...wakerDetails(waking), ...details } : {});
  };
}

/** Whoever shows no token is a probe; a tenant is told no more than that, since the rest is about all of them. */
async function isTrusted(auth: Authenticator, header: string | undefined): Promise<boolean> {
  if (header === undefined) return auth.takesEverybody;
  return (await auth.identify(header)).tenant === undefined;
}

/** Why the store can't be read, in a word and in a sentence that says what to do. */
interface Trouble {
  readonly status: "store_unavailable" | "store_lost";
  readonly problem: string;
}

function unavailable(error: unknown, log: Logger): Trouble {
  log.error({ err: error }, "the leaf store can't be read");
  const lost = error instanceof HarnessError && error.reason === "store_lost";
  const problem = error instanceof HarnessError ? error.message : "the leaf store can't be read; the dispatcher's log has the cause";
  return { status: lost ? "store_lost" : "store_unavailable", problem };
}

function wakerDetails({ kind, ...counts }: ReturnType<Dependencies["waker"]["status"]>): Record<string, unknown> {
  return { waker: kind, ...counts };
}

function reply(status: string, details: Record<string, unknown>): Reply {
  return { status: status === "ok" ? 200 : 503, body: { status, version: VERSION, ...details } };
}
