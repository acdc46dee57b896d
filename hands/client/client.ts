import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { parseTarget } from "@serverless-harness/kit/address";
import { Connection } from "@serverless-harness/kit/connection";
import { ConfigError } from "@serverless-harness/kit/env";
import { transportOver } from "@serverless-harness/kit/transport";
import { type DescribeResponse, ExecService, IdentityService, type Workspace, WorkspaceService } from "@serverless-harness/proto/hands";
import { ClientChannel } from "./channel.ts";
import { createRetry, type Retry } from "./retry.ts";
import type { HandsClientOptions, WorkspaceClient } from "./types.ts";
import { workspaceClient } from "./workspace.ts";

const DEFAULT_PATIENCE_MS = 30_000;

/** Times of a client's channels, in milliseconds. */
export interface ClientTimes {
  /** How often hands is asked whether it lives. Default 10 s. */
  readonly pingIntervalMs?: number;
  /** How long its answer may take. Default 10 s, and never longer than the client's patience. */
  readonly pingTimeoutMs?: number;
  /** How long a channel without execs stays open. Default 60 s. */
  readonly idleMs?: number;
}

/**
 * Talks to one hands. It connects when it is first asked for something, and again whenever the connection is lost; an error of a
 * connection never reaches anybody but the calls that it breaks.
 */
export class HandsClient {
  readonly #connection: Connection;
  readonly #transport: Transport;
  #execs: Client<typeof ExecService> | undefined;
  readonly #retry: Retry;
  readonly #times: Required<ClientTimes> & { readonly patienceMs: number };
  readonly #closed = new AbortController();
  /** By workspace. A second one if the same exec is followed twice: events name the exec alone. */
  readonly #channels = new Map<string, ClientChannel[]>();

  /** Throws a ConfigError if the address can't be read. */
  constructor(options: HandsClientOptions, times: ClientTimes = {}) {
    const target = parseTarget(options.address);
    if (target === undefined) throw new ConfigError(`${JSON.stringify(options.address)} is no address: use unix:/path or http://host:port`);
    const patienceMs = options.patienceMs ?? DEFAULT_PATIENCE_MS;
    this.#times = {
      patienceMs,
      pingIntervalMs: times.pingIntervalMs ?? 10_000,
      pingTimeoutMs: Math.min(times.pingTimeoutMs ?? 10_000, Math.max(patienceMs, 1)),
      idleMs: times.idleMs ?? 60_000,
    };
    this.#connection = new Connection(target.address, options.tls, target.prefix);
    this.#transport = transportOver(this.#connection, options.token);
    this.#retry = createRetry({ patienceMs, onTokenExpired: options.onTokenExpired, signal: this.#closed.signal });
  }

  /** Made when a command is first asked for, as that of files. */
  get #client(): Client<typeof ExecService> {
    this.#execs ??= createClient(ExecService, this.#transport);
    return this.#execs;
  }

  /** One workspace, for the owner that `epoch` names. */
  workspace(name: string, epoch: bigint): WorkspaceClient {
    return workspaceClient({
      name,
      epoch,
      transport: this.#transport,
      client: () => this.#client,
      retry: this.#retry,
      ...this.#times,
      onDead: () => this.#connection.reset(),
      closed: this.#closed.signal,
      channelFor: (execId) => this.#channelFor(name, execId),
    });
  }

  /** Who the sandbox is, by its own account; with any token that it takes. Throws HarnessErrors. */
  async describe(): Promise<DescribeResponse> {
    const client = createClient(IdentityService, this.#transport);
    return await this.#retry(() => client.describe({}));
  }

  /** The sandbox's workspaces that the token covers, sorted by name. Throws HarnessErrors. */
  async listWorkspaces(): Promise<Workspace[]> {
    const client = createClient(WorkspaceService, this.#transport);
    const { workspaces } = await this.#retry(() => client.list({}));
    return workspaces;
  }

  /** Let go of everything. Execs and terminals go on in the sandbox; whoever follows one is told `detached`. */
  close(): void {
    this.#closed.abort();
    for (const channel of [...this.#channels.values()].flat()) channel.close();
    this.#channels.clear();
    this.#connection.close();
  }

  #channelFor(workspace: string, execId: string): ClientChannel {
    const channels = this.#channels.get(workspace) ?? [];
    const free = channels.find((channel) => !channel.has(execId));
    if (free !== undefined) return free;
    const channel: ClientChannel = new ClientChannel({
      client: this.#client,
      onDead: () => this.#connection.reset(),
      onIdle: () => this.#removeChannel(workspace, channel),
      ...this.#times,
    });
    if (this.#closed.signal.aborted) channel.close();
    else this.#channels.set(workspace, [...channels, channel]);
    return channel;
  }

  #removeChannel(workspace: string, channel: ClientChannel): void {
    const left = (this.#channels.get(workspace) ?? []).filter((other) => other !== channel);
    if (left.length > 0) this.#channels.set(workspace, left);
    else this.#channels.delete(workspace);
  }
}
