import type { ConnectRouter } from "@connectrpc/connect";
import type { HealthState } from "@serverless-harness/kit/health";
import type { Logger } from "@serverless-harness/kit/log";
import { BrainService } from "@serverless-harness/proto/brain";
import { wake } from "./rpc/wake.ts";
import type { Runner } from "./runner.ts";

/** What the routes lead to. */
export interface RouteTargets {
  readonly runner: Runner;
  readonly health: HealthState;
  readonly log: Logger;
}

/** The wake API and health. */
export function routes({ runner, health, log }: RouteTargets): (router: ConnectRouter) => void {
  return (router) => {
    router.service(BrainService, { wake: wake(runner, log) });
    health.routes(router);
  };
}
