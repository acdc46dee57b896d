import { Code } from "@connectrpc/connect";
import type { CreateOptions, WorkspaceClient } from "@serverless-harness/hands/client";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import type { Lacks, MadeFrom, MadeWorkspace, WorkspaceLifecycle } from "@serverless-harness/pi-fork";
import type { LeftOut, Workspace } from "@serverless-harness/proto/hands";

/** What a {@link LeafWorkspace} stands on. */
export interface LeafWorkspaceOptions {
  readonly leafId: string;
  readonly workspace: WorkspaceClient;
  /** What makes it, which may have to reach others for that. */
  readonly maker: WorkspaceClient;
  /** What the workspace is made from where it is missing. */
  readonly source: CreateOptions;
  readonly snapshots: boolean;
  /** How the session came to this sandbox, if there is a pool of them. */
  readonly move?: Move | undefined;
  readonly log: Logger;
}

type Made = Workspace & { readonly existed: boolean };

/** How a session comes to a sandbox where it was not before, or did not get its files yet: a workspace that is there is old. */
export interface Move {
  /** A snapshot that was taken of its files since it was last worked on. */
  readonly takenSince?: string | undefined;
  /** Its workspace in the sandbox where its files are. */
  readonly from?: WorkspaceClient | undefined;
  /** Its files are here, and the log says so. False: a newer owner has placed it. */
  readonly settled?: (() => Promise<boolean>) | undefined;
}

/** A leaf's workspace as a whole: made or taken over, restored, stored. */
export class LeafWorkspace implements WorkspaceLifecycle {
  readonly leafId: string;
  readonly snapshots: boolean;
  readonly rescue: WorkspaceLifecycle["rescue"];
  readonly #options: LeafWorkspaceOptions;
  #source: CreateOptions;
  #workspace: Promise<Made>;
  /** A workspace that was here already is old. */
  #isNewHere: boolean;
  /** What the session left in its last sandbox is here. If not, that one's copy is left to whoever removes old ones. */
  #isRescued = false;
  /** The files of the workspace that it is to be a copy of could be had. */
  readonly copied: Promise<boolean>;

  /** Makes the workspace, or takes it over. */
  constructor(options: LeafWorkspaceOptions) {
    this.leafId = options.leafId;
    this.snapshots = options.snapshots;
    this.#options = options;
    this.#source = options.source;
    const from = options.move?.from;
    this.#isNewHere = options.move !== undefined;
    if (from !== undefined)
      this.rescue = async (identity, snapshotId, commands) => {
        this.#isRescued = await rescue(from, identity, snapshotId, commands, options.log);
        return this.#isRescued;
      };
    const making = makeWorkspace(options.maker, options.source);
    this.#workspace = perhapsUnread(making.then(({ made }) => made));
    this.copied = perhapsUnread(making.then(({ copied }) => copied));
  }

  /** The workspace, once it is there. */
  get workspace(): Promise<Made> {
    return this.#workspace;
  }

  get takenSince(): string | undefined {
    return this.#options.move?.takenSince;
  }

  get made(): Promise<MadeWorkspace> {
    const isNewHere = this.#isNewHere;
    return perhapsUnread(
      this.workspace.then(({ createdAtMs, baseCommit, existed }) => ({
        identity: identityOf(createdAtMs),
        source: { url: this.#source.source?.kind === "git" && baseCommit !== "" ? this.#source.source.url : "", baseCommit },
        isOld: isNewHere && existed,
      })),
    );
  }

  /** What the workspace lacks of what it was made from. */
  get lacks(): Promise<Lacks> {
    return perhapsUnread(this.workspace.then(({ leftOut }) => lacksOf(leftOut)));
  }

  async restore(snapshotId: string): Promise<Lacks | undefined> {
    const { workspace, log } = this.#options;
    try {
      const { snapshot } = await workspace.restore(snapshotId);
      return lacksOf(snapshot.leftOut);
    } catch (error) {
      if (!(error instanceof HarnessError) || !(error.code === Code.NotFound || error.code === Code.DataLoss)) throw error;
      if (error.reason === "unknown_workspace" || error.reason === "workspace_missing") throw error;
      log.warn({ snapshotId, reason: error.reason, why: error.message }, "a snapshot can't be restored");
      return undefined;
    }
  }

  async renew(from?: MadeFrom): Promise<MadeWorkspace> {
    const { workspace, maker } = this.#options;
    if (from !== undefined && from.url !== "") this.#source = { source: { kind: "git", url: from.url, ref: from.baseCommit } };
    await workspace.delete();
    this.#isNewHere = false;
    this.#workspace = makeWorkspace(maker, this.#source).then(({ made }) => made);
    return this.made;
  }

  /** Before the agent changes anything here: from now on its files come from nowhere else. That the old copy is deleted holds nobody up. */
  async settled(): Promise<void> {
    const { move, log } = this.#options;
    if ((await move?.settled?.()) !== true || !this.#isRescued) return;
    move?.from
      ?.delete()
      .catch((error: unknown) => log.warn({ err: error }, "what the session left in its last sandbox can't be deleted yet"));
  }

  /** Have the workspace stored. Throws what hands throws. */
  async snapshot(snapshotId: string): Promise<void> {
    await this.#options.workspace.snapshot(snapshotId);
  }
}

/** No two sandboxes make a session's workspace in the same millisecond. */
function identityOf(createdAtMs: bigint): string {
  return String(createdAtMs);
}

/** End what the session left running in the sandbox that it moves from, and have its workspace stored there. False if that can't be done. */
async function rescue(
  from: WorkspaceClient,
  identity: string | undefined,
  snapshotId: string,
  commands: readonly string[],
  log: Logger,
): Promise<boolean> {
  try {
    const { createdAtMs, existed } = await from.create();
    if (!existed || (identity !== undefined && identityOf(createdAtMs) !== identity)) return false;
    await Promise.all(commands.map((execId) => endCommand(from, execId)));
    await from.snapshot(snapshotId);
    return true;
  } catch (error) {
    if (error instanceof HarnessError && error.reason === "stale_epoch") throw error;
    log.warn({ err: error }, "what the session left in the sandbox that it moves from can't be had: its last snapshot is used");
    return false;
  }
}

/** One that hands does not know never began. */
async function endCommand(from: WorkspaceClient, execId: string): Promise<void> {
  try {
    await from.cancelExec(execId);
  } catch (error) {
    if (!(error instanceof HarnessError) || error.reason !== "unknown_exec") throw error;
  }
}

/** A leaf may fail before anybody asks how its workspace was made: then a failure of that concerns nobody. */
function perhapsUnread<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

function lacksOf(leftOut: LeftOut | undefined): Lacks {
  return { named: leftOut?.paths ?? [], more: leftOut?.more ?? 0 };
}

/**
 * Make a workspace, or take it over. A copy is of the other workspace as it is now; if that is not there, since its session never worked or its sandbox
 * was lost, the new one is empty. (A snapshot of the point that was forked would be restored here.)
 */
async function makeWorkspace(workspace: WorkspaceClient, options: CreateOptions): Promise<{ made: Made; copied: boolean }> {
  try {
    return { made: await workspace.create(options), copied: options.source?.kind === "copy" };
  } catch (error) {
    const gone = error instanceof HarnessError && error.reason === "unknown_workspace" && options.source?.kind === "copy";
    if (!gone) throw error;
    return { made: await workspace.create({}), copied: false };
  }
}
