import type { Logger } from "@serverless-harness/kit/log";
import type { Launcher, ProcessSink, ProcessSpec, RunningProcess } from "../launcher.ts";
import type { KeeperLauncher } from "./launcher.ts";

/** A workspace's keeper, in a jail or a control group, and how many execs hands runs by it. */
interface WorkspaceKeeper {
  readonly keeper: KeeperLauncher;
  running: number;
  /** When an exec began or ended there last, by the clock of `performance.now`. */
  usedAt: number;
}

/** Brings up the keeper of a workspace. */
export type MakeKeeper = (workspace: ProcessSpec["workspace"]) => KeeperLauncher;

/** How many keepers live, and how long one does in which nothing happens. */
export interface KeeperLimits {
  readonly count: number;
  /** Milliseconds; 0: for ever. */
  readonly idleMs: number;
}

/** How often idle keepers are looked for within their time. */
const LOOKS = 4;
/**
 * A keeper tells within this time that an exec left nothing in the background, in milliseconds: only then is it known
 * whose keeper is idle.
 */
const SETTLE_MS = 200;

/**
 * Starts the commands of each workspace by a keeper of its own: in a jail of its own they see no process and no file
 * of other workspaces, in a control group of its own they take nothing from them. It is made with the first command
 * (some 10 ms) and lives on, with what commands left running in the background, until its workspace goes, or nothing
 * has lived in it for `idleMs`. If more than `count` live, the one whose last exec is longest ago ends: first of
 * those in which nothing lives, then of those that hold but what commands left in the background.
 */
export class WorkspaceLauncher implements Launcher {
  readonly #make: MakeKeeper;
  readonly #limits: KeeperLimits;
  readonly #log: Logger;
  readonly #looking: NodeJS.Timeout | undefined;
  #counting: NodeJS.Timeout | undefined;
  /** By workspace; the one that was used last is last. */
  readonly #keepers = new Map<string, WorkspaceKeeper>();

  constructor(make: MakeKeeper, limits: KeeperLimits, log: Logger) {
    this.#make = make;
    this.#limits = limits;
    this.#log = log;
    if (limits.idleMs > 0) this.#looking = setInterval(() => this.#endIdle(), limits.idleMs / LOOKS).unref();
  }

  start(spec: ProcessSpec, sink: ProcessSink): RunningProcess {
    const { workspace } = spec;
    const entry = this.#keepers.get(workspace.name) ?? { keeper: this.#make(workspace), running: 0, usedAt: 0 };
    this.#keepers.delete(workspace.name);
    this.#keepers.set(workspace.name, entry);
    entry.running++;
    if (this.#keepers.size > this.#limits.count) this.#counting ??= setTimeout(() => this.#endExcess(), SETTLE_MS).unref();
    return entry.keeper.start(spec, {
      started: (pid) => sink.started(pid),
      output: (stream, data) => sink.output(stream, data),
      inputTaken: (bytes) => sink.inputTaken(bytes),
      ended: (end) => {
        entry.running--;
        entry.usedAt = performance.now();
        sink.ended(end);
      },
    });
  }

  /** The processes that all others of a workspace are below, by workspace. */
  roots(): Map<string, number> {
    return new Map([...this.#keepers].flatMap(([name, { keeper }]) => (keeper.pid === undefined ? [] : [[name, keeper.pid]])));
  }

  /** End a workspace's keeper, and everything that it started. */
  async end(workspace: Pick<ProcessSpec["workspace"], "name">): Promise<void> {
    const entry = this.#keepers.get(workspace.name);
    this.#keepers.delete(workspace.name);
    await entry?.keeper.close();
  }

  async close(): Promise<void> {
    clearInterval(this.#looking);
    clearTimeout(this.#counting);
    await Promise.all([...this.#keepers.keys()].map((name) => this.end({ name })));
  }

  #endIdle(): void {
    const before = performance.now() - this.#limits.idleMs;
    for (const [name, { keeper, usedAt }] of this.#keepers) if (!keeper.isBusy && usedAt < before) void this.end({ name });
  }

  #endExcess(): void {
    this.#counting = undefined;
    const excess = this.#keepers.size - this.#limits.count;
    if (excess <= 0) return;
    const still = [...this.#keepers].filter(([, { running }]) => running === 0);
    const empty = still.filter(([, { keeper }]) => !keeper.isBusy);
    const others = still.filter(([, { keeper }]) => keeper.isBusy);
    for (const [name, { keeper }] of [...empty, ...others].slice(0, excess)) {
      if (keeper.isBusy)
        this.#log.warn(
          { workspace: name, jails: this.#limits.count },
          "background processes of a workspace are ended: more jails live than HANDS_JAILS allows",
        );
      void this.end({ name });
    }
  }
}
