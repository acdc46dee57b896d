import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import {
  type CreateRequestSchema,
  type DiffSummary,
  type ExecService,
  FileService,
  WorkspaceService,
} from "@serverless-harness/proto/hands";
import type { ClientChannel } from "./channel.ts";
import { Follow } from "./exec-follow.ts";
import { filesClient } from "./files.ts";
import { type WatchSource, watchFiles } from "./files-watch.ts";
import { present, type Retry } from "./retry.ts";
import { terminalsClient } from "./terminals.ts";
import type { WorkspaceClient, WorkspaceSource, WorkspaceTreeClient } from "./types.ts";

/** What a workspace's client needs of the client that it belongs to. */
export interface WorkspaceOptions extends Omit<WatchSource, "client" | "workspace"> {
  /** `<tenant>/<session>`. */
  readonly name: string;
  /** The owner's fencing token. */
  readonly epoch: bigint;
  readonly transport: Transport;
  readonly client: () => Client<typeof ExecService>;
  readonly retry: Retry;
  /** A channel that does not follow this exec yet. */
  readonly channelFor: (execId: string) => ClientChannel;
}

/**
 * One workspace with its files, execs and terminals, for one owner. Every call may be repeated, so each is retried
 * while hands can't be reached.
 */
export function workspaceClient(options: WorkspaceOptions): WorkspaceClient {
  const { name, epoch, transport, client, retry, channelFor } = options;
  const signal = async (execId: string, signalName: string, cancel: boolean): Promise<void> => {
    await retry(() => client().signal({ execId, workspace: name, epoch, signal: signalName, cancel }));
  };
  return {
    name,
    ...filesClient(options),
    ...terminalsClient(options),
    ...treeClient(options),
    exec: (request, onUpdate, fromOffset = 0) => {
      const { execId } = request;
      const channel = channelFor(execId);
      const follow: Follow = new Follow({
        workspace: name,
        epoch,
        request,
        fromOffset,
        onUpdate,
        send: (message) => channel.send(message),
        sendConfirmed: (message) => channel.sendConfirmed(message),
        onOver: () => channel.forget(follow),
        signal: ({ name: signalName, cancel }) => signal(execId, signalName, cancel),
      });
      channel.follow(follow);
      return follow;
    },
    cancelExec: (execId) => signal(execId, "", true),
    signalExec: (execId, signalName) => signal(execId, signalName, false),
    notifyEnd: async (execId, url, body) => {
      await retry(() => client().notifyEnd({ execId, workspace: name, epoch, url, body }));
    },
    watch: (path, watched = {}) => watchFiles({ ...options, client: createClient(FileService, transport), workspace: name }, path, watched),
  };
}

function treeClient({ name, epoch, transport, retry }: WorkspaceOptions): WorkspaceTreeClient {
  const client = createClient(WorkspaceService, transport);
  const owner = { workspace: name, epoch };
  return {
    create: async ({ source = { kind: "empty" as const }, fresh = false } = {}) => {
      const { workspace, existed } = await retry(() => client.create({ ...owner, source: sourceMessage(source), fresh }));
      return { ...present(workspace, "workspace"), existed };
    },
    // A diff that broke starts again: the files may have changed.
    diff: ({ sinceSnapshotId = "", maxBytes = 0 } = {}) =>
      retry(async () => {
        const pieces: Uint8Array[] = [];
        let counted: DiffSummary | undefined;
        for await (const { patch, summary } of client.diff({ workspace: name, sinceSnapshotId, maxBytes: BigInt(maxBytes) })) {
          // A message without content only says that hands is alive.
          if (patch.length > 0) pieces.push(patch);
          counted ??= summary;
        }
        return { patch: Buffer.concat(pieces), summary: present(counted, "summary") };
      }),
    snapshot: async (snapshotId, { onlyIfChanged = false } = {}) => {
      const { snapshot, replayed, unchanged } = await retry(() => client.snapshot({ ...owner, snapshotId, onlyIfChanged }));
      return { snapshot: present(snapshot, "snapshot"), replayed, unchanged };
    },
    restore: async (snapshotId) => {
      const { snapshot, changedFiles } = await retry(() => client.restore({ ...owner, snapshotId }));
      return { snapshot: present(snapshot, "snapshot"), changedFiles };
    },
    delete: async () => {
      await retry(() => client.delete(owner));
    },
  };
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
