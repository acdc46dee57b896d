import { Code } from "@connectrpc/connect";
import type { CreateOptions, WorkspaceClient } from "@serverless-harness/hands/client";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import type { WorkspaceHome } from "@serverless-harness/pi-fork";
import type { Workspace } from "@serverless-harness/proto/hands";

/** What a {@link Home} stands on. */
export interface HomeOptions {
  readonly leafId: string;
  readonly workspace: WorkspaceClient;
  /** What the workspace is made from where it is missing. */
  readonly source: CreateOptions;
  readonly snapshots: boolean;
  readonly log: Logger;
}

/** A leaf's workspace as a whole: made or taken over, restored, stored. */
export class Home implements WorkspaceHome {
  readonly leafId: string;
  readonly snapshots: boolean;
  readonly #options: HomeOptions;
  #made: Promise<Workspace>;

  /** Makes the workspace, or takes it over. */
  constructor(options: HomeOptions) {
    this.leafId = options.leafId;
    this.snapshots = options.snapshots;
    this.#options = options;
    this.#made = options.workspace.create(options.source);
    this.#made.catch(() => undefined);
  }

  /** The workspace, once it is there. */
  get made(): Promise<Workspace> {
    return this.#made;
  }

  get identity(): Promise<string> {
    // No two sandboxes make a session's workspace in the same millisecond.
    return this.made.then(({ createdAtMs }) => String(createdAtMs));
  }

  async restore(snapshotId: string): Promise<boolean> {
    const { workspace, log } = this.#options;
    try {
      await workspace.restore(snapshotId);
      return true;
    } catch (error) {
      if (!(error instanceof HarnessError) || !(error.code === Code.NotFound || error.code === Code.DataLoss)) throw error;
      if (error.reason === "unknown_workspace" || error.reason === "workspace_missing") throw error;
      log.warn({ snapshotId, reason: error.reason, why: error.message }, "a snapshot can't be restored");
      return false;
    }
  }

  renew(): Promise<string> {
    const { workspace, source } = this.#options;
    this.#made = workspace.create({ ...source, fresh: true });
    return this.identity;
  }

  /** Have the workspace stored. Throws what hands throws. */
  async snapshot(snapshotId: string): Promise<void> {
    await this.#options.workspace.snapshot(snapshotId);
  }
}
