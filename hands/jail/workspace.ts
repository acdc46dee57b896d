import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { removeTree } from "../fs/remove-tree.ts";
import type { Workspace } from "../workspaces/workspaces.ts";
import type { CommandJail, Shown } from "./commands.ts";
import { directoriesAround } from "./mounts.ts";

/** Where the daemon's jail has what is divided among workspaces. */
export interface SharedDirectories {
  /** Holds all workspaces. */
  readonly root: string;
  readonly home: string;
  readonly temporary: string;
  /** Whole outputs, below the root. */
  readonly spill: string;
}

/** What a jail for one workspace's commands shows: of all workspaces, homes and temporary directories only its own. */
export class WorkspaceJail {
  readonly #shared: SharedDirectories;
  readonly #jail: CommandJail;

  constructor(shared: SharedDirectories, jail: CommandJail) {
    this.#shared = shared;
    this.#jail = jail;
  }

  /** A program and its arguments to run a program by in the workspace's jail. Makes the workspace's directories. See {@link CommandJail.around}. */
  around({ name, path }: Pick<Workspace, "name" | "path">, more: readonly Shown[], options: readonly string[]): string[] {
    const { root, home, temporary, spill } = this.#shared;
    const own = { home: join(home, name), temporary: join(temporary, name), spill: join(spill, name) };
    for (const directory of Object.values(own)) mkdirSync(directory, { recursive: true, mode: 0o700 });
    const shown = [
      { from: path, to: path, writable: true },
      { from: own.spill, to: own.spill, writable: false },
      { from: own.home, to: home, writable: true },
      { from: own.temporary, to: temporary, writable: true },
      ...more,
    ];
    const covers = ["--tmpfs", root, ...directoriesAround([path, own.spill], root)];
    return this.#jail.around({ workspace: name, covers, shown, options: ["--remount-ro", root, ...options] });
  }

  /** Remove what {@link around} made, beside the workspace itself. */
  async remove({ name }: Pick<Workspace, "name">): Promise<void> {
    const { home, temporary } = this.#shared;
    for (const directory of [home, temporary]) await removeTree(join(directory, name));
    this.#jail.release(name);
  }
}
