import { join } from "node:path";
import type { ConnectRouter } from "@connectrpc/connect";
import type { HealthState } from "@serverless-harness/kit/health";
import type { Logger } from "@serverless-harness/kit/log";
import { serveReflection } from "@serverless-harness/kit/reflection";
import { ExecService, FileService, IdentityService, TerminalService, WorkspaceService } from "@serverless-harness/proto/hands";
import type { Changes } from "./changes/changes.ts";
import type { Channels } from "./channel/channel.ts";
import type { NoticeAddresses } from "./exec/end-notices.ts";
import type { Execs } from "./exec/execs.ts";
import { commandEnvironment, type Homes } from "./exec/process-spec.ts";
import type { Watches } from "./files/watch/watches.ts";
import type { WorkspaceTrees } from "./git/workspace-trees.ts";
import { execService } from "./rpc/exec.ts";
import { fileService } from "./rpc/file.ts";
import { type Identity, identityService } from "./rpc/identity.ts";
import { terminalService } from "./rpc/terminal.ts";
import { workspaceService } from "./rpc/workspace.ts";
import type { Terminals } from "./terminals/terminals.ts";
import type { Workspaces } from "./workspaces/workspaces.ts";

/** What the services work on. */
export interface Dependencies {
  readonly execs: Execs;
  readonly channels: Channels;
  readonly noticeAddresses: NoticeAddresses;
  readonly terminals: Terminals;
  readonly workspaces: Workspaces;
  readonly trees: WorkspaceTrees;
  readonly changes: Changes;
  readonly watches: Watches;
  readonly health: HealthState;
  readonly identity: Identity;
  readonly homes: Homes;
  /** Directory of whole outputs, which files may be read from as well. */
  readonly spillDirectory: string;
  readonly log: Logger;
}

/** Services that health probes may ask for. */
export const SERVICES = [ExecService, FileService, IdentityService, TerminalService, WorkspaceService].map(({ typeName }) => typeName);

/** Bind every RPC. */
export function routes(deps: Dependencies): (router: ConnectRouter) => void {
  const { workspaces, changes, watches, terminals } = deps;
  return (router) => {
    router.service(ExecService, execService(deps));
    router.service(
      FileService,
      fileService({ workspaces, changes, watches, spillDirectory: ({ name }) => join(deps.spillDirectory, name) }),
    );
    router.service(IdentityService, identityService(deps.identity));
    router.service(TerminalService, terminalService({ workspaces, terminals, environment: () => commandEnvironment(deps.homes) }));
    router.service(WorkspaceService, workspaceService({ workspaces, trees: deps.trees }));
    deps.health.routes(router);
    serveReflection(router);
  };
}
