import type { ServeOptions } from "@serverless-harness/kit/serve";
import type { Dependencies } from "../dependencies.ts";
import type { Leaves } from "../leaves.ts";
import { needsNoToken } from "../seed-api/open-door.ts";
import { seedRoutes } from "../seed-api/routes.ts";
import { health } from "./health.ts";
import { createRouter, type Handler } from "./router.ts";
import { turn } from "./turn.ts";
import { wake } from "./wake.ts";

/** The paths of the plain HTTP API. */
export function httpRoutes(deps: Dependencies, leaves: Leaves): NonNullable<ServeOptions["fallback"]> {
  const { auth, drain, seedApi, log } = deps;
  /** What the seed has as well: its clients may have no token. */
  const guarded =
    (handler: Handler): Handler =>
    (call) => {
      const { authorization } = call.request.headers;
      if (authorization !== undefined || !needsNoToken(call.request, seedApi)) auth.require(authorization);
      drain.requireOpen();
      return handler(call);
    };
  return createRouter(
    {
      "/turn": { POST: guarded(turn(leaves, log)) },
      ...seedRoutes(deps, leaves, guarded),
      "/wake": { POST: wake(leaves) },
      "/health": { GET: health(deps) },
      "/readyz": { GET: health(deps) },
    },
    log,
  );
}
