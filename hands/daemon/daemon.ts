import { mkdirSync, readFileSync } from "node:fs";
import { ConfigError } from "@serverless-harness/kit/env";
import { HealthState } from "@serverless-harness/kit/health";
import { createLogger, type Logger } from "@serverless-harness/kit/log";
import type { Service } from "@serverless-harness/kit/main";
import { serve } from "@serverless-harness/kit/serve";
import { TokenVerifier } from "@serverless-harness/kit/token";
import { authenticate } from "../auth.ts";
import { Changes } from "../changes/changes.ts";
import { Channels } from "../channel/registry.ts";
import type { HandsConfig } from "../config.ts";
import { Execs } from "../exec/execs.ts";
import { spillDirectory } from "../exec/output-spill.ts";
import { routes, SERVICES } from "../routes.ts";
import { Terminals } from "../terminals/terminals.ts";
import { Workspaces } from "../workspaces.ts";
import { closeInheritedDescriptors } from "./descriptors.ts";
import { chooseLaunchers, isolates } from "./launcher.ts";
import { openTrees } from "./trees.ts";

/** How long answers on their way may take once everything has ended, in milliseconds. */
const CLOSE_GRACE_MS = 1000;

/** Terminals that may be open in one workspace, and ended ones that are remembered in all. */
const TERMINALS = { perWorkspace: 16, ended: 100 };

/** Start the daemon, in the jail or without one. */
export async function startDaemon(config: HandsConfig): Promise<Service> {
  closeInheritedDescriptors();
  const log = createLogger("hands", config.logLevel);
  if (!config.jailed) log.warn("HANDS_SANDBOX=process: commands run unconfined, with all that this user may do");
  for (const directory of [config.home, config.temporary]) mkdirSync(directory, { recursive: true, mode: 0o700 });
  const workspaces = await Workspaces.open({ root: config.workspaces, state: config.state, oneTenant: !isolates(config) });
  const launchers = chooseLaunchers(config, workspaces, log);
  const launcher = launchers.execs;
  const terminals = new Terminals(launchers.pty, TERMINALS);
  workspaces.beforeDelete(({ name }) => terminals.closeAll(name));
  const homes = { home: config.home, temporary: config.temporary };
  const spill = spillDirectory(config);
  const execs = await Execs.open({
    workspaces,
    launcher,
    limits: config.limits,
    durability: config.durability,
    homes,
    spillDirectory: spill,
    log,
  });
  const trees = await openTrees(config, workspaces);
  const changes = new Changes({ workspaces, log });
  const channels = new Channels({ execs, log });
  const health = new HealthState(SERVICES);
  const server = await serve({
    address: config.listen,
    routes: routes({ execs, channels, terminals, workspaces, trees, changes, health, homes, spillDirectory: spill, log }),
    interceptors: interceptors(config, log),
    log,
  });
  log.info({ sandbox: config.jailed ? "bwrap" : "process", network: config.network, launcher: config.launcher }, "hands is up");
  return {
    stop: async (signal) => {
      log.info({ signal }, "hands stops");
      health.stopServing();
      channels.goAway();
      await Promise.all([execs.drain(config.graceMs), terminals.closeAll()]);
      await server.close(CLOSE_GRACE_MS);
    },
  };
}

function interceptors(config: HandsConfig, log: Logger): Array<ReturnType<typeof authenticate>> {
  const { publicKeyFile } = config;
  if (publicKeyFile === undefined) {
    log.warn("no HANDS_PUBLIC_KEY_FILE: whoever may open the socket may do everything");
    return [];
  }
  try {
    return [authenticate(new TokenVerifier(readFileSync(publicKeyFile, "utf8"), "hands"))];
  } catch (error) {
    throw new ConfigError(
      `HANDS_PUBLIC_KEY_FILE can't be used (${error instanceof Error ? error.message : error}): it must be a public key as PEM`,
    );
  }
}
