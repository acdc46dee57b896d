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
  readonly log: Logger;
}

/** A leaf's workspace as a whole: made or taken over, restored, stored. */
export class LeafWorkspace implements WorkspaceLifecycle {
  readonly leafId: string;
  readonly snapshots: boolean;
  readonly #options: LeafWorkspaceOptions;
  #source: CreateOptions;
  #workspace: Promise<Workspace>;
  /** The files of the workspace that it is to be a copy of could be had. */
  readonly copied: Promise<boolean>;

  /** Makes the workspace, or takes it over. */
  constructor(options: LeafWorkspaceOptions) {
    this.leafId = options.leafId;
    this.snapshots = options.snapshots;
    this.#options = options;
    this.#source = options.source;
    const making = makeWorkspace(options.maker, options.source);
    this.#workspace = perhapsUnread(making.then(({ made }) => made));
    this.copied = perhapsUnread(making.then(({ copied }) => copied));
  }

  /** The workspace, once it is there. */
  get workspace(): Promise<Workspace> {
    return this.#workspace;
  }

  get made(): Promise<MadeWorkspace> {
    // No two sandboxes make a session's workspace in the same millisecond.
    return perhapsUnread(
      this.workspace.then(({ createdAtMs, baseCommit }) => ({
        identity: String(createdAtMs),
        source: { url: this.#source.source?.kind === "git" && baseCommit !== "" ? this.#source.source.url : "", baseCommit },
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
    this.#workspace = makeWorkspace(maker, this.#source).then(({ made }) => made);
    return this.made;
  }

  /** Have the workspace stored. Throws what hands throws. */
  async snapshot(snapshotId: string): Promise<void> {
    await this.#options.workspace.snapshot(snapshotId);
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
async function makeWorkspace(workspace: WorkspaceClient, options: CreateOptions): Promise<{ made: Workspace; copied: boolean }> {
  try {
    return { made: await workspace.create(options), copied: options.source?.kind === "copy" };
  } catch (error) {
    const gone = error instanceof HarnessError && error.reason === "unknown_workspace" && options.source?.kind === "copy";
    if (!gone) throw error;
    return { made: await workspace.create({}), copied: false };
  }
}
