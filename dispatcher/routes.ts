import type { ConnectRouter, Interceptor } from "@connectrpc/connect";
import { serveReflection } from "@serverless-harness/kit/reflection";
import type { ServeOptions } from "@serverless-harness/kit/serve";
import { SandboxAccessService } from "@serverless-harness/proto/brain";
import { LeafService, ScheduleService, TokenService, WebhookService } from "@serverless-harness/proto/leaf";
import { deniedRpcs } from "./audit/denials.ts";
import type { Dependencies } from "./dependencies.ts";
import { httpRoutes } from "./http/routes.ts";
import { Leaves } from "./leaves.ts";
import { cancel } from "./rpc/cancel.ts";
import { listDeadLetters, resend } from "./rpc/dead-letters.ts";
import { decide } from "./rpc/decide.ts";
import { get } from "./rpc/get.ts";
import { grant } from "./rpc/grant.ts";
import { list } from "./rpc/list.ts";
import { redrive } from "./rpc/redrive.ts";
import { run } from "./rpc/run.ts";
import { send } from "./rpc/send.ts";
import { submit } from "./rpc/submit.ts";
import { create } from "./rpc/token/create.ts";
import { list as listTokens } from "./rpc/token/list.ts";
import { revoke } from "./rpc/token/revoke.ts";
import { watch } from "./rpc/watch.ts";
import { scheduleRpcs } from "./schedules/rpc.ts";

/** What {@link routes} gives to `serve`. */
export type Routes = Required<Pick<ServeOptions, "routes" | "interceptors" | "fallback">>;

/** Bind every RPC and every plain HTTP path to its file. */
export function routes(deps: Dependencies): Routes {
  const { store, schedules, sandbox, auth, tokens, audit, limits, drain, health, keepAliveMs } = deps;
  const leaves = new Leaves(deps);
  const interceptors: Interceptor[] = [deniedRpcs(audit), auth.interceptor(), limits.interceptor(), drain.interceptor()];
  const rpcs = (router: ConnectRouter): void => {
    health.routes(router);
    router.service(LeafService, {
      submit: submit(leaves),
      run: run(leaves, keepAliveMs),
      get: get(leaves),
      list: list(leaves),
      watch: watch(leaves, keepAliveMs),
      cancel: cancel(leaves),
      decide: decide(leaves),
      redrive: redrive(leaves),
      send: send(leaves),
    });
    router.service(ScheduleService, scheduleRpcs(schedules));
    router.service(TokenService, { create: create(tokens), list: listTokens(tokens), revoke: revoke(tokens) });
    router.service(SandboxAccessService, { grant: grant(store, sandbox) });
    router.service(WebhookService, { listDeadLetters: listDeadLetters(store), resend: resend(store, audit) });
    serveReflection(router);
  };
  return { routes: rpcs, interceptors, fallback: httpRoutes(deps, leaves) };
}
