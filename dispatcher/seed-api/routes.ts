import type { Logger } from "@serverless-harness/kit/log";
import type { Dependencies } from "../dependencies.ts";
import type { Handler, KnownHandler, RouteTable } from "../http/router.ts";
import type { Leaves } from "../leaves.ts";
import { runs } from "./runs.ts";
import { status } from "./status.ts";

/** The paths of the seed's API, each in front of its `guarded` handler. Its old names stay: whoever uses one is told in the log, once. */
export function seedRoutes(
  { store, seedApi, volume, log }: Dependencies,
  leaves: Leaves,
  guarded: (handler: KnownHandler) => Handler,
): RouteTable {
  const post = guarded(runs({ leaves, store, volume, settings: seedApi }));
  const get = guarded(status(leaves, store, volume));
  return {
    "/runs": { POST: post },
    "/runs/status": { GET: get },
    "/run-leaf": { POST: renamed(post, "/run-leaf", "/runs", log) },
    "/run-leaf/status": { GET: renamed(get, "/run-leaf/status", "/runs/status", log) },
  };
}

function renamed(handler: Handler, old: string, now: string, log: Logger): Handler {
  let told = false;
  return (call) => {
    if (!told) log.warn({ old, now }, `[deprecation] ${old} is an old name: use ${now}`);
    told = true;
    return handler(call);
  };
}
