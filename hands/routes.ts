import type { ConnectRouter } from "@connectrpc/connect";
import type { HealthState } from "@serverless-harness/kit/health";
import type { Logger } from "@serverless-harness/kit/log";
import { ExecService } from "@serverless-harness/proto/hands";
import type { Channels } from "./channel-registry.ts";
import type { HandsConfig } from "./config.ts";
import type { Execs } from "./execs.ts";
import { execService } from "./rpc/exec/index.ts";
import type { Workspaces } from "./workspaces.ts";

/** What the services work on. */
export interface Dependencies {
  readonly execs: Execs;
  readonly channels: Channels;
  readonly workspaces: Workspaces;
  readonly health: HealthState;
  readonly config: Pick<HandsConfig, "home" | "temporary" | "workspaces">;
  readonly log: Logger;
}

/** Services that health probes may ask for. */
export const SERVICES = [ExecService.typeName];

/** Bind every RPC. */
export function routes(deps: Dependencies): (router: ConnectRouter) => void {
  return (router) => {
    router.service(ExecService, execService(deps));
    deps.health.routes(router);
  };
}
