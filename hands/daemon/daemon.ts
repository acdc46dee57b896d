import { mkdirSync } from "node:fs";
import { formatAddress } from "@serverless-harness/kit/address";
import { HealthState } from "@serverless-harness/kit/health";
import { createLogger } from "@serverless-harness/kit/log";
import type { Service } from "@serverless-harness/kit/main";
import { Changes } from "../changes/changes.ts";
import { Channels } from "../channel/registry.ts";
import type { HandsConfig } from "../config.ts";
import { Execs } from "../exec/execs.ts";
import { spillDirectory } from "../exec/output-spill.ts";
import { Watches } from "../files/watch/watches.ts";
import { routes, SERVICES } from "../routes.ts";
import { Terminals } from "../terminals/terminals.ts";
import { Workspaces } from "../workspaces/workspaces.ts";
import { boundDisk } from "./bound-disk.ts";
import { closeInheritedDescriptors } from "./descriptors.ts";
import { openDoors } from "./doors.ts";
import { chooseLaunchers, commandUser } from "./launcher.ts";
import { HandsMetrics } from "./metrics.ts";
import { openNetworks } from "./networks.ts";
import { lockState } from "./state-lock.ts";
import { tidyHeap } from "./tidy-heap.ts";
import { openTrees } from "./trees.ts";

/** How long answers on their way may take once everything has ended, in milliseconds. */
const CLOSE_GRACE_MS = 1000;

/** Terminals that may be open in one workspace, and ended ones that are remembered in all. */
const TERMINALS = { perWorkspace: 16, ended: 100 };

/** Start the daemon, in the jail or without one. */
export async function startDaemon(config: HandsConfig): Promise<Service> {
  closeInheritedDescriptors();
  const log = createLogger("hands", config.logLevel);
  const unlock = lockState(config.state);
  if (!config.jailed) log.warn("HANDS_SANDBOX=process: commands run unconfined, with all that this user may do");
  for (const directory of [config.home, config.temporary]) mkdirSync(directory, { recursive: true, mode: 0o700 });
  const workspaces = await Workspaces.open({ root: config.workspaces, state: config.state, oneTenant: !config.jailed, log });
  const networks = await openNetworks(config, log);
  const launchers = chooseLaunchers(config, networks, log);
  const launcher = launchers.execs;
  const terminals = new Terminals(launchers.pty, TERMINALS);
  workspaces.beforeDelete(({ name }) => terminals.closeAll(name));
  const homes = { home: config.home, temporary: config.temporary, user: commandUser(config) };
  const spill = spillDirectory(config);
  const metrics = new HandsMetrics();
  const execs = await Execs.open({
    workspaces,
    launcher,
    limits: config.limits,
    durability: config.durability,
    homes,
    spillDirectory: spill,
    log,
    onEnded: metrics.countEnd,
  });
  workspaces.beforeDelete((workspace) => launchers.end(workspace));
  const disk = boundDisk({ config, launchers, execs, terminals, log });
  const { trees, close: closeTrees } = await openTrees(config, workspaces, log);
  const changes = await Changes.open({ workspaces, log, durability: config.durability });
  const watches = new Watches(workspaces);
  const channels = new Channels({ execs, log });
  const health = new HealthState(SERVICES);
  metrics.measure({ execs, channels, terminals, workspaces });
  const doors = await openDoors({
    config,
    routes: routes({
      execs,
      channels,
      noticeAddresses: config.noticeAddresses,
      terminals,
      workspaces,
      trees,
      changes,
      watches,
      health,
      homes,
      spillDirectory: spill,
      log,
    }),
    workspaces,
    health,
    metrics,
    log,
  });
  const stopTidying = tidyHeap();
  log.info(
    {
      sandbox: config.jailed ? "bwrap" : "process",
      network: config.network,
      address: formatAddress(doors.address),
    },
    "hands is up",
  );
  return {
    stop: async (signal) => {
      log.info({ signal }, "hands stops");
      health.stopServing();
      channels.goAway();
      await Promise.all([execs.drain(config.graceMs), terminals.closeAll(), watches.drain()]);
      await doors.close(CLOSE_GRACE_MS);
      disk?.close();
      stopTidying();
      closeTrees();
      await networks.close();
      unlock();
    },
  };
}
