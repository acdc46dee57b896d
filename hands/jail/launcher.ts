import { fileURLToPath } from "node:url";
import { type KeeperFiles, KeeperLauncher } from "../keeper/launcher.ts";
import type { Launcher, ProcessSink, ProcessSpec, RunningProcess } from "../launch/launcher.ts";
import type { Workspace } from "../workspaces.ts";
import type { WorkspaceJail } from "./workspace.ts";

const SCRIPT = fileURLToPath(new URL("./keeper.sh", import.meta.url));

/** A workspace's jail, and how many processes hands runs in it. */
interface Jail {
  readonly keeper: KeeperLauncher;
  running: number;
}

/**
 * Starts the commands of each workspace in a jail of its own, by a fork server inside of it: they see no process and no file of other
 * workspaces. A jail is made with its first command (some 10 ms) and lives on, with what commands left running in the background, until
 * its workspace goes or more than `maxJails` live: then the one that was idle longest ends.
 */
export class JailLauncher implements Launcher {
  readonly #files: KeeperFiles;
  readonly #jail: WorkspaceJail;
  readonly #maxJails: number;
  /** By workspace; the one that was used last is last. */
  readonly #jails = new Map<string, Jail>();

  constructor(files: KeeperFiles, jail: WorkspaceJail, maxJails: number) {
    this.#files = files;
    this.#jail = jail;
    this.#maxJails = maxJails;
  }

  start(spec: ProcessSpec, sink: ProcessSink): RunningProcess {
    const { workspace } = spec;
    const jail = this.#jails.get(workspace.name) ?? this.#make(workspace);
    this.#jails.delete(workspace.name);
    this.#jails.set(workspace.name, jail);
    jail.running++;
    void this.#endIdle();
    return jail.keeper.start(spec, {
      started: (pid) => sink.started(pid),
      output: (stream, data) => sink.output(stream, data),
      inputTaken: (bytes) => sink.inputTaken(bytes),
      ended: (end) => {
        jail.running--;
        sink.ended(end);
      },
    });
  }

  /** End a workspace's jail, and everything in it. */
  async end(workspace: Pick<Workspace, "name">): Promise<void> {
    const jail = this.#jails.get(workspace.name);
    this.#jails.delete(workspace.name);
    await jail?.keeper.close();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#jails.keys()].map((name) => this.end({ name })));
  }

  #make(workspace: Pick<Workspace, "name" | "path">): Jail {
    return { keeper: new KeeperLauncher({ ...this.#files, keeper: SCRIPT, arguments: this.#jail.arguments(workspace) }), running: 0 };
  }

  async #endIdle(): Promise<void> {
    const idle = [...this.#jails].filter(([, { running }]) => running === 0).map(([name]) => name);
    const tooMany = Math.max(0, this.#jails.size - this.#maxJails);
    await Promise.all(idle.slice(0, tooMany).map((name) => this.end({ name })));
  }
}
