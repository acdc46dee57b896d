import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import {
  type CreateRequestSchema,
  type DiffSummary,
  type Snapshot,
  type Workspace,
  WorkspaceService,
} from "@serverless-harness/proto/hands";
import { present } from "./present.ts";
import type { Retry } from "./retry.ts";
import type { WorkspaceDiff, WorkspaceSource, WorkspaceTreeClient } from "./workspace-types.ts";

/** One workspace as a whole. Every call may be repeated, so each is retried while hands can't be reached. Throws HarnessErrors. */
export class WorkspaceTree implements WorkspaceTreeClient {
  readonly #name: string;
  readonly #epoch: bigint;
  readonly #retry: Retry;
  readonly #client: Client<typeof WorkspaceService>;

  /** `name`: `<tenant>/<session>`; `epoch`: the owner's fencing token. */
  constructor(transport: Transport, name: string, epoch: bigint, retry: Retry) {
    this.#name = name;
    this.#epoch = epoch;
    this.#retry = retry;
    this.#client = createClient(WorkspaceService, transport);
  }

  async create(...[options = {}]: Parameters<WorkspaceTreeClient["create"]>): Promise<Workspace> {
    const { source = { kind: "empty" }, fresh = false } = options;
    const { workspace } = await this.#retry(() => this.#client.create({ ...this.#owner(), source: sourceMessage(source), fresh }));
    return present(workspace, "workspace");
  }

  async diff(...[options = {}]: Parameters<WorkspaceTreeClient["diff"]>): Promise<WorkspaceDiff> {
    const { sinceSnapshotId = "", maxBytes = 0 } = options;
    const request = { workspace: this.#name, sinceSnapshotId, maxBytes: BigInt(maxBytes) };
    // A diff that broke starts anew: the files may be others by now.
    return await this.#retry(async () => {
      const pieces: Uint8Array[] = [];
      let counted: DiffSummary | undefined;
      for await (const { patch, summary } of this.#client.diff(request)) {
        // One without content says that hands lives.
        if (patch.length > 0) pieces.push(patch);
        counted ??= summary;
      }
      return { patch: Buffer.concat(pieces), summary: present(counted, "summary") };
    });
  }

  async snapshot(snapshotId: string): Promise<{ snapshot: Snapshot; replayed: boolean }> {
    const { snapshot, replayed } = await this.#retry(() => this.#client.snapshot({ ...this.#owner(), snapshotId }));
    return { snapshot: present(snapshot, "snapshot"), replayed };
  }

  async restore(snapshotId: string): Promise<{ snapshot: Snapshot; changedFiles: number }> {
    const { snapshot, changedFiles } = await this.#retry(() => this.#client.restore({ ...this.#owner(), snapshotId }));
    return { snapshot: present(snapshot, "snapshot"), changedFiles };
  }

  async delete(): Promise<void> {
    await this.#retry(() => this.#client.delete(this.#owner()));
  }

  #owner(): { workspace: string; epoch: bigint } {
    return { workspace: this.#name, epoch: this.#epoch };
  }
}

function sourceMessage(source: WorkspaceSource): NonNullable<MessageInitShape<typeof CreateRequestSchema>["source"]> {
  switch (source.kind) {
    case "empty":
      return { case: "empty", value: {} };
    case "copy":
      return { case: "copy", value: { workspace: source.workspace } };
    case "git":
      return { case: "git", value: { url: source.url, ref: source.ref ?? "" } };
  }
}
