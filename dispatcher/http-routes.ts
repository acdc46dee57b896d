import { type PlainRequest, requestPath, type ServeOptions } from "@serverless-harness/kit/serve";
import { deniedRequest } from "./audit/denials.ts";
import type { Caller } from "./callers/caller.ts";
import type { Dependencies } from "./dependencies.ts";
import { createRouter, type Handler, type KnownHandler } from "./http/router.ts";
import type { Leaves } from "./leaves.ts";
import { events } from "./plain-http/events.ts";
import { health } from "./plain-http/health.ts";
import { limits } from "./plain-http/limits.ts";
import { sandboxKey } from "./plain-http/sandbox-key.ts";
import { TURN, turn } from "./plain-http/turn.ts";
import { wake } from "./plain-http/wake.ts";
import { needsNoToken, SEED_CLIENT } from "./seed-api/open-door.ts";
import { seedRoutes } from "./seed-api/routes.ts";
import { SEED_TURN } from "./seed-api/turn.ts";

/** The paths of the plain HTTP API. */
export function httpRoutes(deps: Dependencies, leaves: Leaves): NonNullable<ServeOptions["fallback"]> {
  const { auth, audit, limits: known, drain, keepAliveMs, saturationMs, seedApi, log } = deps;
  const guardedBy =
    (identify: (request: PlainRequest) => Promise<Caller>) =>
    (handler: KnownHandler): Handler =>
    async (call) => {
      const path = requestPath(call.request);
      const caller = await deniedRequest(audit, undefined, path, () => identify(call.request));
      known.requireRate(caller);
      drain.requireOpen();
      return await deniedRequest(audit, caller, path, () => handler({ ...call, caller }));
    };
  /** As the RPCs are. */
  const guarded = guardedBy((request) => auth.identify(request.headers.authorization));
  /** What the seed has as well: its clients may have no token. */
  const seedGuarded = guardedBy(async (request) => {
    const { authorization } = request.headers;
    return authorization === undefined && needsNoToken(request, seedApi) ? SEED_CLIENT : await auth.identify(authorization);
  });
  return createRouter(
    {
      "/turn": { POST: seedGuarded(turn({ leaves, keepAliveMs, saturationMs, log }, seedApi.compat ? SEED_TURN : TURN)) },
      ...seedRoutes(deps, leaves, seedGuarded),
      "/v1/leaves/{id}/events": { GET: guarded(events(leaves, keepAliveMs, log)) },
      "/v1/sandboxes/{name}/key": { GET: guarded(sandboxKey(deps.sandboxPublicKey)) },
      "/v1/limits": { GET: guarded(limits(known)) },
      "/wake": { POST: wake(leaves) },
      "/health": { GET: health(deps) },
      "/readyz": { GET: health(deps) },
    },
    log,
  );
}
