import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { type ExecService, FileService } from "@serverless-harness/proto/hands";
import type { ClientChannel } from "./channel.ts";
import { Follow } from "./exec-follow.ts";
import { WorkspaceFiles } from "./files.ts";
import { watchFiles } from "./files-watch.ts";
import type { Retry } from "./retry.ts";
import { WorkspaceTerminals } from "./terminals.ts";
import type { ExecHandle, ExecRequest, ExecUpdate, WorkspaceClient } from "./types.ts";
import { WorkspaceTree } from "./workspace-tree.ts";

/** What a workspace's client needs of the client it belongs to. */
export interface HandsWorkspaceOptions {
  readonly name: string;
  readonly epoch: bigint;
  readonly transport: Transport;
  readonly client: () => Client<typeof ExecService>;
  readonly retry: Retry;
  /** How long terminals and watches are kept while hands can't be reached, in milliseconds. */
  readonly patienceMs: number;
  /** How often hands is asked whether it lives, and how long its answer may take, in milliseconds. */
  readonly pingIntervalMs: number;
  readonly pingTimeoutMs: number;
  /** Hands does not answer any more: cut the connection. */
  readonly onDead: () => void;
  /** The client was closed. */
  readonly closed: AbortSignal;
  /** A channel that does not follow this exec yet. */
  readonly channelFor: (execId: string) => ClientChannel;
}

/** One workspace with its files, execs and terminals, for one owner. */
export class HandsWorkspace extends WorkspaceFiles implements WorkspaceClient {
  readonly #options: HandsWorkspaceOptions;
  readonly #terminals: WorkspaceTerminals;
  readonly #tree: WorkspaceTree;

  constructor(options: HandsWorkspaceOptions) {
    super(options.transport, options.name, options.epoch, options.retry);
    this.#options = options;
    this.#terminals = new WorkspaceTerminals(options);
    this.#tree = new WorkspaceTree(options.transport, options.name, options.epoch, options.retry);
  }

  exec(request: ExecRequest, onUpdate: (update: ExecUpdate) => void, fromOffset = 0): ExecHandle {
    const { name: workspace, epoch } = this.#options;
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
      signal: ({ name, cancel }) => this.#signal(execId, name, cancel),
    });
    channel.follow(follow);
    return follow;
  }

  cancelExec: WorkspaceClient["cancelExec"] = (execId) => this.#signal(execId, "", true);
  signalExec: WorkspaceClient["signalExec"] = (execId, name) => this.#signal(execId, name, false);

  notifyEnd: WorkspaceClient["notifyEnd"] = async (execId, url, body) => {
    const { name: workspace, epoch, client, retry } = this.#options;
    await retry(() => client().notifyEnd({ execId, workspace, epoch, url, body }));
  };

  watch: WorkspaceClient["watch"] = (path, options = {}) => {
    const { name: workspace, transport } = this.#options;
    return watchFiles({ ...this.#options, client: createClient(FileService, transport), workspace }, path, options);
  };

  openTerminal: WorkspaceClient["openTerminal"] = (request) => this.#terminals.openTerminal(request);
  attachTerminal: WorkspaceClient["attachTerminal"] = (...args) => this.#terminals.attachTerminal(...args);
  writeTerminal: WorkspaceClient["writeTerminal"] = (...args) => this.#terminals.writeTerminal(...args);
  resizeTerminal: WorkspaceClient["resizeTerminal"] = (...args) => this.#terminals.resizeTerminal(...args);
  terminalScreen: WorkspaceClient["terminalScreen"] = (...args) => this.#terminals.terminalScreen(...args);
  listTerminals: WorkspaceClient["listTerminals"] = () => this.#terminals.listTerminals();
  closeTerminal: WorkspaceClient["closeTerminal"] = (terminalId) => this.#terminals.closeTerminal(terminalId);

  create: WorkspaceClient["create"] = (options) => this.#tree.create(options);
  diff: WorkspaceClient["diff"] = (options) => this.#tree.diff(options);
  snapshot: WorkspaceClient["snapshot"] = (snapshotId) => this.#tree.snapshot(snapshotId);
  restore: WorkspaceClient["restore"] = (snapshotId) => this.#tree.restore(snapshotId);
  delete: WorkspaceClient["delete"] = () => this.#tree.delete();

  async #signal(execId: string, signal: string, cancel: boolean): Promise<void> {
    const { name: workspace, epoch, client, retry } = this.#options;
    await retry(() => client().signal({ execId, workspace, epoch, signal, cancel }));
  }
}
