import type { ConnectRouter, Interceptor } from "@connectrpc/connect";
import { serveReflection } from "@serverless-harness/kit/reflection";
import type { ServeOptions } from "@serverless-harness/kit/serve";
import { SandboxAccessService } from "@serverless-harness/proto/brain";
import { LeafService, SandboxService, ScheduleService, TokenService, WebhookService } from "@serverless-harness/proto/leaf";
import { deniedRpcs } from "./audit/denials.ts";
import type { Dependencies } from "./dependencies.ts";
import { httpRoutes } from "./http-routes.ts";
import { Leaves } from "./leaves.ts";
import { leafRpcs } from "./rpc/leaves.ts";
import { sandboxAccessRpcs } from "./rpc/sandbox-access.ts";
import { sandboxRpcs } from "./rpc/sandboxes.ts";
import { scheduleRpcs } from "./rpc/schedules.ts";
import { tokenRpcs } from "./rpc/tokens.ts";
import { webhookRpcs } from "./rpc/webhooks.ts";

/** What {@link routes} gives to `serve`. */
export type Routes = Required<Pick<ServeOptions, "routes" | "interceptors" | "fallback">>;

/** Bind every RPC and every plain HTTP path to its file. */
export function routes(deps: Dependencies): Routes {
  const { store, schedules, sandbox, pool, auth, tokens, audit, limits, drain, health, keepAliveMs, saturationMs } = deps;
  const leaves = new Leaves(deps);
  const interceptors: Interceptor[] = [deniedRpcs(audit), auth.interceptor(), limits.interceptor(), drain.interceptor()];
  const rpcs = (router: ConnectRouter): void => {
    health.routes(router);
    router.service(LeafService, leafRpcs(leaves, keepAliveMs, saturationMs));
    router.service(ScheduleService, scheduleRpcs(schedules));
    router.service(TokenService, tokenRpcs(tokens));
    router.service(SandboxAccessService, sandboxAccessRpcs(store, pool ?? sandbox));
    router.service(SandboxService, sandboxRpcs(store, pool !== undefined, audit));
    router.service(WebhookService, webhookRpcs(store, audit));
    serveReflection(router);
  };
  return { routes: rpcs, interceptors, fallback: httpRoutes(deps, leaves) };
}
