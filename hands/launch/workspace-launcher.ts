import type { KeeperLauncher } from "../keeper/launcher.ts";
import type { Workspace } from "../workspaces.ts";
import type { Launcher, ProcessSink, ProcessSpec, RunningProcess } from "./launcher.ts";

/** A workspace's keeper, in a jail or a control group, and how many processes hands runs by it. */
interface Place {
  readonly keeper: KeeperLauncher;
  running: number;
}

/** Brings up the keeper of a workspace. */
export type MakeKeeper = (workspace: Pick<Workspace, "name" | "path">) => KeeperLauncher;

/**
 * Starts the commands of each workspace by a keeper of its own: in a jail of its own they see no process and no file of other workspaces, in a control
 * group of its own they take nothing from them. It is made with the first command (some 10 ms) and lives on, with what commands left running in the
 * background, until its workspace goes or more than `maxPlaces` live: then the one that was idle longest ends.
 */
export class WorkspaceLauncher implements Launcher {
  readonly #make: MakeKeeper;
  readonly #maxPlaces: number;
  /** By workspace; the one that was used last is last. */
  readonly #places = new Map<string, Place>();

  constructor(make: MakeKeeper, maxPlaces: number) {
    this.#make = make;
    this.#maxPlaces = maxPlaces;
  }

  start(spec: ProcessSpec, sink: ProcessSink): RunningProcess {
    const { workspace } = spec;
    const place = this.#places.get(workspace.name) ?? { keeper: this.#make(workspace), running: 0 };
    this.#places.delete(workspace.name);
    this.#places.set(workspace.name, place);
    place.running++;
    void this.#endIdle();
    return place.keeper.start(spec, {
      started: (pid) => sink.started(pid),
      output: (stream, data) => sink.output(stream, data),
      inputTaken: (bytes) => sink.inputTaken(bytes),
      ended: (end) => {
        place.running--;
        sink.ended(end);
      },
    });
  }

  /** End a workspace's keeper, and everything in its place. */
  async end(workspace: Pick<Workspace, "name">): Promise<void> {
    const place = this.#places.get(workspace.name);
    this.#places.delete(workspace.name);
    await place?.keeper.close();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#places.keys()].map((name) => this.end({ name })));
  }

  async #endIdle(): Promise<void> {
    const idle = [...this.#places].filter(([, { running }]) => running === 0).map(([name]) => name);
    const tooMany = Math.max(0, this.#places.size - this.#maxPlaces);
    await Promise.all(idle.slice(0, tooMany).map((name) => this.end({ name })));
  }
}
