import { closeSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { formatAddress } from "@serverless-harness/kit/address";
import { HealthState } from "@serverless-harness/kit/health";
import { createLogger, type Logger } from "@serverless-harness/kit/log";
import type { Service } from "@serverless-harness/kit/main";
import { EndCause } from "@serverless-harness/proto/hands";
import { Changes } from "../changes/changes.ts";
import { Channels } from "../channel/channel.ts";
import type { HandsConfig } from "../config.ts";
import { Execs } from "../exec/execs.ts";
import { spillDirectory } from "../exec/output-spill.ts";
import { Watches } from "../files/watch/watches.ts";
import { networkPrograms, PublicNetworks, sharedNetwork, type WorkspaceNetworks } from "../network/networks.ts";
import manifest from "../package.json" with { type: "json" };
import { DiskMeter } from "../process/usage/disk-meter.ts";
import { routes, SERVICES } from "../routes.ts";
import { Terminals } from "../terminals/terminals.ts";
import { Workspaces } from "../workspaces/workspaces.ts";
import { chooseLaunchers, commandUser, type Launchers } from "./launchers.ts";
import { openListeners } from "./listeners.ts";
import { HandsMetrics } from "./metrics.ts";
import { lockState, stateIdOf } from "./state-directory.ts";
import { tidyHeap } from "./tidy-heap.ts";
import { openTrees } from "./workspace-trees.ts";

/** How long answers on their way may take once everything has ended, in milliseconds. */
const CLOSE_GRACE_MS = 1000;

/** Terminals that may be open in one workspace, and ended ones that are remembered in all. */
const TERMINALS = { perWorkspace: 16, ended: 100 };

export async function startDaemon(config: HandsConfig): Promise<Service> {
  closeInheritedDescriptors();
  const log = createLogger("hands", config.logLevel);
  const unlock = lockState(config.state);
  const identity = { ...config.offer, stateId: await stateIdOf(config.state), version: manifest.version };
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
  const listeners = await openListeners({
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
      identity,
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
      address: formatAddress(listeners.address),
    },
    "hands is up",
  );
  return {
    stop: async (signal) => {
      log.info({ signal }, "hands stops");
      health.stopServing();
      channels.goAway();
      await Promise.all([execs.drain(config.graceMs), terminals.closeAll(), watches.drain()]);
      await listeners.close(CLOSE_GRACE_MS);
      disk?.close();
      stopTidying();
      closeTrees();
      await networks.close();
      unlock();
    },
  };
}

/** The networks of workspaces: one for each if commands may reach public addresses only. With `none` the whole jail has none. */
async function openNetworks(config: HandsConfig, log: Logger): Promise<WorkspaceNetworks> {
  if (config.network !== "public") return sharedNetwork;
  return PublicNetworks.open({ programs: networkPrograms(), directory: config.state, allowed: config.privateHosts, log });
}

const STANDARD = 2;
/** O_CLOEXEC on Linux. */
const CLOSE_ON_EXEC = 0o2000000;

/**
 * Close what whoever started the daemon left open: every command would inherit it. Node's own descriptors are all closed on exec, and
 * so stay.
 */
function closeInheritedDescriptors(): void {
  for (const name of readdirSync("/proc/self/fd")) {
    const descriptor = Number(name);
    if (descriptor <= STANDARD) continue;
    try {
      const flags = /^flags:\s+([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${name}`, "utf8"))?.[1];
      if (flags !== undefined && (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) === 0) closeSync(descriptor);
    } catch {
      // The directory's own descriptor is gone by now.
    }
  }
}

/** What is bounded, and what is ended if it takes too much. */
interface Bounded {
  readonly config: Pick<HandsConfig, "diskBytes" | "workspaces" | "home" | "temporary">;
  readonly launchers: Pick<Launchers, "roots" | "kill">;
  readonly execs: Pick<Execs, "stopAll">;
  readonly terminals: Pick<Terminals, "closeAll">;
  readonly log: Logger;
}

/**
 * Bound what workspaces with a jail have on disk: their execs end by that name. If none runs, it is terminals or the
 * background that end.
 */
function boundDisk({ config, launchers, execs, terminals, log }: Bounded): DiskMeter | undefined {
  const { diskBytes: limitBytes, workspaces, home, temporary } = config;
  if (limitBytes === 0) return undefined;
  const end = async (name: string, usedBytes: number): Promise<void> => {
    log.warn({ workspace: name, usedBytes, limitBytes }, "a workspace has more than HANDS_DISK_BYTES: what runs in it is ended");
    const message = `its workspace has ${usedBytes} bytes on disk and may have ${limitBytes} (HANDS_DISK_BYTES): remove what is not needed`;
    if ((await execs.stopAll(name, { cause: EndCause.LIMIT_REACHED, message })) > 0) return;
    await terminals.closeAll(name);
    await launchers.kill({ name });
  };
  return new DiskMeter({
    limitBytes,
    live: () => launchers.roots().keys(),
    directories: (name) => [workspaces, home, temporary].map((directory) => join(directory, name)),
    onExceeded: (name, usedBytes) => {
      end(name, usedBytes).catch((error: unknown) =>
        log.error({ workspace: name, err: error }, "the commands that fill a disk could not be ended"),
      );
    },
    log,
  });
}
