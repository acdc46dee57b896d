import type { Client, Transport } from "@connectrpc/connect";
import type { ExecService } from "@serverless-harness/proto/hands";
import type { ClientChannel } from "./channel.ts";
import { Follow } from "./exec-follow.ts";
import { WorkspaceFiles } from "./files.ts";
import type { Retry } from "./retry.ts";
import type { ExecHandle, ExecRequest, ExecUpdate, WorkspaceClient } from "./types.ts";

/** What a workspace's client needs of the client it belongs to. */
export interface HandsWorkspaceOptions {
  readonly name: string;
  readonly epoch: bigint;
  readonly transport: Transport;
  readonly client: Client<typeof ExecService>;
  readonly retry: Retry;
  /** A channel that does not follow this exec yet. */
  readonly channelFor: (execId: string) => ClientChannel;
}

/** One workspace's files and execs, for one owner. */
export class HandsWorkspace extends WorkspaceFiles implements WorkspaceClient {
  readonly #options: HandsWorkspaceOptions;

  constructor(options: HandsWorkspaceOptions) {
    super(options.transport, options.name, options.epoch, options.retry);
    this.#options = options;
  }

  exec(request: ExecRequest, onUpdate: (update: ExecUpdate) => void, fromOffset = 0): ExecHandle {
    const { name: workspace, epoch, client, retry } = this.#options;
    const { execId } = request;
    const channel = this.#options.channelFor(execId);
    const follow: Follow = new Follow({
      workspace,
      epoch,
      request,
      fromOffset,
      onUpdate,
      send: (message) => channel.send(message),
      sendConfirmed: (message) => channel.sendConfirmed(message),
      onOver: () => channel.forget(follow),
      signal: async ({ name, cancel }) => {
        await retry(() => client.signal({ execId, workspace, epoch, signal: name, cancel }));
      },
    });
    channel.follow(follow);
    return follow;
  }
}
