import { lstat, mkdir, realpath, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { newId } from "@serverless-harness/kit/ids";
import type { Logger } from "@serverless-harness/kit/log";
import { DamagedRecord, isDamagedRecord } from "../fs/durable.ts";
import { KeyedQueue } from "../fs/keyed-queue.ts";
import { removeTree } from "../fs/remove-tree.ts";
import { WorkspaceDirectories } from "./directories.ts";
import { assertCurrent, isThere, readRecords, type WorkspaceRecord, writeRecord } from "./record.ts";

export interface Workspace {
  /** `<tenant>/<session>`. */
  readonly name: string;
  readonly path: string;
  /** Where the daemon keeps what it must remember about this workspace; removed with it. Out of the reach of commands. */
  readonly stateDirectory: string;
  /**
   * A directory on the workspace's file system, beside it and so out of the reach of its commands: for what is about to be renamed into
   * the workspace, and for what was renamed out. Removed with it.
   */
  readonly stagingDirectory: string;
}

/** A workspace as clients see it. */
export interface WorkspaceDescription extends Workspace {
  readonly epoch: bigint;
  readonly createdAtMs: number;
}

/** Where {@link Workspaces} keeps what. Both are absolute directories of this daemon alone. */
export interface WorkspacesOptions {
  /** Holds `<tenant>/<session>` directories, and `.trash`, `.staging` and `.aside`, which no name collides with. One file system. */
  readonly root: string;
  readonly state: string;
  /** Commands can reach the files of other workspaces here, so only one tenant is served. Default false. */
  readonly oneTenant?: boolean;
  /** Told of what was set aside, and of what can't be removed. Default: nobody. */
  readonly log?: Logger;
}

/** Makes a new workspace's content: `directory` does not exist yet, and becomes the workspace's. */
export type Fill = (directory: string, workspace: Workspace) => Promise<void>;

/** Ends what still happens in a workspace that is about to go. Idempotent: it is called again if a deletion is repeated. */
export type BeforeDelete = (workspace: Workspace) => Promise<void>;

/**
 * The sandbox's workspaces and their epochs. An epoch that was seen is remembered durably before anything is done under it, so that an
 * older owner stays fenced off whatever restarts.
 */
export class Workspaces {
  readonly #options: WorkspacesOptions;
  readonly #directories: WorkspaceDirectories;
  readonly #records: Map<string, WorkspaceRecord>;
  readonly #queue = new KeyedQueue();
  readonly #beforeDelete: BeforeDelete[] = [];
  /** Being created. */
  readonly #making = new Set<string>();

  #tidied: Promise<void> = Promise.resolve();

  private constructor(options: WorkspacesOptions, directories: WorkspaceDirectories, records: Map<string, WorkspaceRecord>) {
    this.#options = options;
    this.#directories = directories;
    this.#records = records;
  }

  /**
   * Read what is known. Makes both directories if they are missing. Deletions that a crash interrupted go on
   * meanwhile (see {@link tidied}). No workspace keeps another one from being served: see {@link setAsideDamaged}.
   */
  static async open(options: WorkspacesOptions): Promise<Workspaces> {
    await mkdir(options.root, { recursive: true });
    await mkdir(options.state, { recursive: true, mode: 0o700 });
    // What commands call their directory, whichever way they ask.
    const directories = new WorkspaceDirectories(await realpath(options.root), options.state);
    const { records, damaged } = await readRecords(directories.states);
    const workspaces = new Workspaces(options, directories, records);
    for (const [name, error] of damaged) await workspaces.setAsideDamaged(name, error);
    await directories.discardStaged((name) => records.has(name));
    workspaces.#tidied = workspaces.#tidy(await directories.discarded());
    return workspaces;
  }

  /**
   * Resolves when what an earlier daemon left to be removed is gone, as far as it can be removed: the rest is logged,
   * and tried at the next start.
   */
  get tidied(): Promise<void> {
    return this.#tidied;
  }

  /**
   * Go on without a workspace of which something that is remembered turned out to be damaged: its files and state are
   * kept for people to look at, the log says where and why, and its name is free. Only while nothing runs in it.
   * Throws `error` if that is about more than this workspace.
   */
  async setAsideDamaged(name: string, error: unknown): Promise<void> {
    if (!isDamagedRecord(error)) throw error;
    const kept = await this.#directories.setAside(this.#directories.locate(name));
    this.#records.delete(name);
    const message = "a workspace was set aside because its record is damaged: its session goes on with a new one";
    this.#options.log?.error({ workspace: name, ...kept, err: error }, message);
  }

  /** Run `hook` before a workspace's files go. Further calls add to it. */
  beforeDelete(hook: BeforeDelete): void {
    this.#beforeDelete.push(hook);
  }

  /** A workspace, for reading. NOT_FOUND `unknown_workspace` if there is none. */
  find(name: string): Workspace {
    this.#existing(name);
    return this.#directories.locate(name);
  }

  /**
   * A workspace, for changing it under `epoch`. A newer epoch than known is durable when this resolves. NOT_FOUND `unknown_workspace`,
   * FAILED_PRECONDITION `stale_epoch` if a newer one was seen.
   */
  async resolve(name: string, epoch: bigint): Promise<Workspace> {
    if (this.#existing(name).epoch !== epoch) await this.#queue.run(name, () => this.#raise(name, epoch));
    return this.#directories.locate(name);
  }

  /**
   * Throw as {@link resolve} does, without waiting: for the instant right before an effect, since a newer owner may have come while the
   * call was prepared.
   */
  fence(name: string, epoch: bigint): void {
    assertCurrent(name, this.#existing(name), epoch);
  }

  /**
   * Throw `stale_epoch` for an owner that is older than the newest seen, and remember a newer one. A workspace that
   * is not there knows of none; one that was deleted still does.
   */
  async admit(name: string, epoch: bigint): Promise<void> {
    const known = this.#records.get(name);
    if (known === undefined) return;
    assertCurrent(name, known, epoch);
    if (known.epoch < epoch && known.deletedAtMs === undefined) await this.#queue.run(name, () => this.#raise(name, epoch));
  }

  get count(): number {
    return [...this.#records.values()].filter((record) => record.deletedAtMs === undefined).length;
  }

  /**
   * Make a workspace, or take an existing one over, whose content stays; one whose directory is gone is made again.
   * `existed` tells which. `fill` makes a new one's content in a directory out of the reach of commands; if it
   * throws, nothing is made. FAILED_PRECONDITION `tenant_refused` if only one tenant is served and another one was
   * first.
   */
  create(name: string, epoch: bigint, fill: Fill = makeEmpty): Promise<{ workspace: WorkspaceDescription; existed: boolean }> {
    return this.#queue.run(name, async () => {
      const known = this.#records.get(name);
      if (known !== undefined) assertCurrent(name, known, epoch);
      if (this.#options.oneTenant) this.#assertTenant(name);
      using making = new DisposableStack();
      this.#making.add(name);
      making.defer(() => this.#making.delete(name));
      // One whose directory a command removed is made again, as a deleted one would be.
      const existed = known !== undefined && known.deletedAtMs === undefined && (await isDirectory(this.#directories.locate(name).path));
      if (!existed) await this.#make(name, epoch, known, fill);
      else if (known.epoch !== epoch) await this.#save(name, { ...known, epoch });
      return { workspace: this.describe(name), existed };
    });
  }

  /** A workspace was made under this very epoch: asking for a fresh one again means this one. */
  isFresh(name: string, epoch: bigint): boolean {
    const record = this.#records.get(name);
    return record !== undefined && record.deletedAtMs === undefined && record.madeInEpoch === epoch;
  }

  /** A workspace as clients see it. NOT_FOUND `unknown_workspace`. */
  describe(name: string): WorkspaceDescription {
    const { epoch, createdAtMs } = this.#existing(name);
    return { ...this.#directories.locate(name), epoch, createdAtMs };
  }

  list(): WorkspaceDescription[] {
    const names = [...this.#records].filter(([, record]) => record.deletedAtMs === undefined).map(([name]) => name);
    return names.sort().map((name) => this.describe(name));
  }

  /** Remove a workspace, its files and its state. A no-op if there is none. `stale_epoch` if a newer owner was seen. */
  delete(name: string, epoch: bigint): Promise<void> {
    return this.#queue.run(name, () => this.#delete(name, epoch));
  }

  /**
   * {@link delete} it for good: its epoch is not remembered. `elsewhere` removes what there is of it in other
   * directories, even if the workspace is not known here; nobody makes it again meanwhile.
   */
  forget(name: string, epoch: bigint, elsewhere: () => Promise<void>): Promise<void> {
    return this.#queue.run(name, async () => {
      await this.#delete(name, epoch);
      await elsewhere();
      await removeTree(this.#directories.locate(name).stateDirectory);
      this.#records.delete(name);
    });
  }

  async #delete(name: string, epoch: bigint): Promise<void> {
    const known = this.#records.get(name);
    if (known === undefined) return;
    assertCurrent(name, known, epoch);
    // The mark comes first: from here on every other call finds no such workspace, and a crash is made good at the next start.
    if (known.deletedAtMs === undefined) await this.#save(name, { ...known, epoch, deletedAtMs: Date.now() });
    await this.#empty(this.#directories.locate(name));
  }

  async #empty(workspace: Workspace): Promise<void> {
    for (const hook of this.#beforeDelete) await hook(workspace);
    await this.#directories.empty(workspace);
  }

  /** Remove what an earlier daemon had begun to remove. What can't be removed only takes up space. */
  async #tidy(discarded: readonly string[]): Promise<void> {
    const { log } = this.#options;
    for (const [name, record] of this.#records) {
      if (record.deletedAtMs === undefined) continue;
      await this.#queue
        .run(name, () => this.#finishDelete(name))
        .catch((error: unknown) => log?.error({ workspace: name, err: error }, "a deleted workspace could not be removed"));
    }
    for (const path of discarded) {
      await removeTree(path).catch((error: unknown) => log?.error({ path, err: error }, "deleted files could not be removed"));
    }
  }

  async #finishDelete(name: string): Promise<void> {
    // It may have been made again meanwhile.
    if (this.#records.get(name)?.deletedAtMs !== undefined) await this.#directories.empty(this.#directories.locate(name));
  }

  async #make(name: string, epoch: bigint, tombstone: WorkspaceRecord | undefined, fill: Fill): Promise<void> {
    const workspace = this.#directories.locate(name);
    // A deletion that failed half-way must not leave its files to the next one of that name.
    if (tombstone !== undefined) await this.#empty(workspace);
    else if (await isThere(workspace.path)) await this.setAsideDamaged(name, new DamagedRecord("there are files without a record"));
    const staged = join(workspace.stagingDirectory, newId("new"));
    await mkdir(workspace.stateDirectory, { recursive: true, mode: 0o700 });
    await mkdir(workspace.stagingDirectory, { recursive: true, mode: 0o700 });
    try {
      await fill(staged, workspace);
      await mkdir(dirname(workspace.path), { recursive: true });
      await rename(staged, workspace.path);
    } catch (error) {
      await removeTree(staged);
      throw error;
    }
    await this.#save(name, { epoch, createdAtMs: Date.now(), madeInEpoch: epoch });
  }

  #assertTenant(name: string): void {
    const others = [...this.list().map((workspace) => workspace.name), ...this.#making];
    if (others.every((other) => tenantOf(other) === tenantOf(name))) return;
    throw new HarnessError(
      Code.FailedPrecondition,
      "tenant_refused",
      "this sandbox can't keep tenants apart (it runs without a jail) and serves another one: give this tenant a sandbox of its own",
    );
  }

  async #raise(name: string, epoch: bigint): Promise<void> {
    const known = this.#existing(name);
    assertCurrent(name, known, epoch);
    if (known.epoch !== epoch) await this.#save(name, { ...known, epoch });
  }

  async #save(name: string, record: WorkspaceRecord): Promise<void> {
    await writeRecord(this.#directories.locate(name).stateDirectory, record);
    this.#records.set(name, record);
  }

  #existing(name: string): WorkspaceRecord {
    const record = this.#records.get(name);
    if (record !== undefined && record.deletedAtMs === undefined) return record;
    throw new HarnessError(Code.NotFound, "unknown_workspace", `there is no workspace ${name} here: create it first`);
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined))?.isDirectory() === true;
}

async function makeEmpty(directory: string): Promise<void> {
  await mkdir(directory);
}

function tenantOf(name: string): string {
  return name.slice(0, name.indexOf("/"));
}
