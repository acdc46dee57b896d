import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { removeTree } from "../files/remove-tree.ts";
import type { Workspace } from "../workspaces.ts";

/** Where the daemon's jail has what is divided among workspaces. */
export interface SharedDirectories {
  /** Holds all workspaces. */
  readonly root: string;
  readonly home: string;
  readonly temporary: string;
  /** Whole outputs, below the root. */
  readonly spill: string;
}

/** What a jail for one workspace's commands is made of: of all workspaces, homes and temporary directories it has only its own. */
export class WorkspaceJail {
  readonly #shared: SharedDirectories;

  constructor(shared: SharedDirectories) {
    this.#shared = shared;
  }

  /** Arguments of bwrap, to go behind those that show the daemon's own world. Makes the workspace's directories. */
  arguments({ name, path }: Pick<Workspace, "name" | "path">): string[] {
    const { root, home, temporary, spill } = this.#shared;
    const own = { home: join(home, name), temporary: join(temporary, name), spill: join(spill, name) };
    for (const directory of Object.values(own)) mkdirSync(directory, { recursive: true, mode: 0o700 });
    return [
      ...["--tmpfs", root, "--bind", path, path, "--ro-bind", own.spill, own.spill, "--remount-ro", root],
      ...["--bind", own.home, home, "--bind", own.temporary, temporary],
    ];
  }

  /** Remove what {@link arguments} made, beside the workspace itself. */
  async remove({ name }: Pick<Workspace, "name">): Promise<void> {
    const { home, temporary } = this.#shared;
    for (const directory of [home, temporary]) await removeTree(join(directory, name));
  }
}
