import type { ServeOptions } from "@serverless-harness/kit/serve";
import type { Dependencies } from "../dependencies.ts";
import type { Leaves } from "../leaves.ts";
import { needsNoToken, SEED_CLIENT } from "../seed-api/open-door.ts";
import { seedRoutes } from "../seed-api/routes.ts";
import { SEED_TURN } from "../seed-api/turn.ts";
import { events } from "./events.ts";
import { health } from "./health.ts";
import { createRouter, type Handler, type KnownHandler } from "./router.ts";
import { TURN, turn } from "./turn.ts";
import { wake } from "./wake.ts";

/** The paths of the plain HTTP API. */
export function httpRoutes(deps: Dependencies, leaves: Leaves): NonNullable<ServeOptions["fallback"]> {
  const { auth, drain, keepAliveMs, seedApi, log } = deps;
  /** As the RPCs are. */
  const guarded =
    (handler: KnownHandler): Handler =>
    async (call) => {
      const caller = await auth.identify(call.request.headers.authorization);
      drain.requireOpen();
      return await handler({ ...call, caller });
    };
  /** What the seed has as well: its clients may have no token. */
  const seedGuarded =
    (handler: KnownHandler): Handler =>
    async (call) => {
      const { authorization } = call.request.headers;
      const caller = authorization === undefined && needsNoToken(call.request, seedApi) ? SEED_CLIENT : await auth.identify(authorization);
      drain.requireOpen();
      return await handler({ ...call, caller });
    };
  return createRouter(
    {
      "/turn": { POST: seedGuarded(turn({ leaves, keepAliveMs, log }, seedApi.compat ? SEED_TURN : TURN)) },
      ...seedRoutes(deps, leaves, seedGuarded),
      "/v1/leaves/{id}/events": { GET: guarded(events(leaves, keepAliveMs, log)) },
      "/wake": { POST: wake(leaves) },
      "/health": { GET: health(deps) },
      "/readyz": { GET: health(deps) },
    },
    log,
  );
}
