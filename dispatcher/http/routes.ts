import type { ServeOptions } from "@serverless-harness/kit/serve";
import type { Dependencies } from "../dependencies.ts";
import type { Leaves } from "../leaves.ts";
import { health } from "./health.ts";
import { createRouter, type Handler } from "./router.ts";
import { turn } from "./turn.ts";
import { wake } from "./wake.ts";

/** The paths of the plain HTTP API. */
export function httpRoutes(deps: Dependencies, leaves: Leaves): NonNullable<ServeOptions["fallback"]> {
  const { auth, drain, log } = deps;
  const guarded =
    (handler: Handler): Handler =>
    (call) => {
      auth.require(call.request.headers.authorization);
      drain.requireOpen();
      return handler(call);
    };
  return createRouter(
    {
      "/turn": { POST: guarded(turn(leaves, log)) },
      "/wake": { POST: wake(leaves) },
      "/health": { GET: health(deps) },
      "/readyz": { GET: health(deps) },
    },
    log,
  );
}
