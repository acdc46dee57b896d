import { chmod, mkdir, readdir, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { newId } from "@serverless-harness/kit/ids";
import { openDirectory } from "@serverless-harness/kit/paths/handle";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import { removeTree } from "../fs/remove-tree.ts";
import { isThere } from "./record.ts";
import type { Workspace } from "./workspaces.ts";

/** Directories beside the tenants' in the root. No tenant's name starts with a dot. */
const TRASH = ".trash";
const STAGING = ".staging";
const ASIDE = ".aside";

/** Where the parts of a workspace that was set aside are; empty for those that it did not have. */
export interface SetAside {
  readonly files: string;
  readonly state: string;
}

/** Where workspaces lie on the disk, and how what they leave is put away: always by a rename, so that a name is free at once. */
export class WorkspaceDirectories {
  readonly #root: string;
  readonly #state: string;

  constructor(root: string, state: string) {
    this.#root = root;
    this.#state = state;
  }

  /** Holds the state directories of all workspaces. */
  get states(): string {
    return join(this.#state, "workspaces");
  }

  locate(name: string): Workspace {
    return {
      name,
      path: join(this.#root, name),
      stateDirectory: join(this.states, name),
      stagingDirectory: join(this.#root, STAGING, name),
    };
  }

  /** Put whatever is at a path away, to be removed. Returns where it is then; `undefined` if nothing was there. */
  async discard(path: string): Promise<string | undefined> {
    return moveTo(path, join(this.#root, TRASH, newId("ws")));
  }

  /** Keep what there is of a workspace for people to look at, out of everyone's way. */
  async setAside({ name, path, stateDirectory, stagingDirectory }: Workspace): Promise<SetAside> {
    const kept = `${name.replace("/", "+")}.${newId("aside")}`;
    await this.discard(stagingDirectory);
    const files = await moveTo(path, join(this.#root, ASIDE, kept));
    const state = await moveTo(stateDirectory, join(this.#state, "aside", kept));
    return { files: files ?? "", state: state ?? "" };
  }

  /** Put away what is staged for workspaces that do not exist. */
  async discardStaged(isKnown: (name: string) => boolean): Promise<void> {
    const staging = join(this.#root, STAGING);
    for (const tenant of await directoriesIn(staging)) {
      for (const session of await directoriesIn(join(staging, tenant))) {
        if (!isKnown(`${tenant}/${session}`)) await this.discard(join(staging, tenant, session));
      }
    }
  }

  /** What is put away at present. */
  async discarded(): Promise<string[]> {
    const trash = join(this.#root, TRASH);
    return (await directoriesIn(trash)).map((name) => join(trash, name));
  }

  /** Remove a workspace's files and its state but for the record. */
  async empty({ path, stateDirectory, stagingDirectory }: Workspace): Promise<void> {
    const grave = await this.discard(path);
    if (grave !== undefined) await removeTree(grave);
    await removeTree(stagingDirectory);
    for (const entry of await readdir(stateDirectory)) {
      if (entry !== "workspace.json") await removeTree(join(stateDirectory, entry));
    }
  }
}

async function moveTo(path: string, place: string): Promise<string | undefined> {
  if (!(await isThere(path))) return undefined;
  await mkdir(dirname(place), { recursive: true, mode: 0o700 });
  await rename(path, place).catch(async (error: unknown) => {
    if (errnoOf(error) !== "EACCES") throw error;
    // A directory's own permissions may forbid to move it, as its parent's name is in it.
    using directory = openDirectory(path);
    await chmod(directory.path, 0o700);
    await rename(path, place);
  });
  return place;
}

async function directoriesIn(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return [];
    throw error;
  }
}
