import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { type ScreenResponse, type Terminal, TerminalService } from "@serverless-harness/proto/hands";
import { present } from "./present.ts";
import type { Retry } from "./retry.ts";
import { TerminalFollow } from "./terminal-follow.ts";
import type { TerminalHandle, TerminalsClient } from "./terminal-types.ts";

/** What the terminals of a workspace need. */
export interface WorkspaceTerminalsOptions {
  readonly transport: Transport;
  readonly name: string;
  readonly epoch: bigint;
  readonly retry: Retry;
  readonly patienceMs: number;
  readonly closed: AbortSignal;
}

/** The terminals of one workspace. Every call may be repeated, so each is retried while hands can't be reached. */
export class WorkspaceTerminals implements TerminalsClient {
  readonly #options: WorkspaceTerminalsOptions;
  #made: Client<typeof TerminalService> | undefined;

  constructor(options: WorkspaceTerminalsOptions) {
    this.#options = options;
  }

  /** Made when a terminal is first asked for, as that of files. */
  get #client(): Client<typeof TerminalService> {
    this.#made ??= createClient(TerminalService, this.#options.transport);
    return this.#made;
  }

  async openTerminal(...[request]: Parameters<TerminalsClient["openTerminal"]>): Promise<{ terminal: Terminal; existed: boolean }> {
    const { terminalId, argv = [], cwd = "", env = {}, columns = 0, rows = 0 } = request;
    const message = { ...this.#target(terminalId), argv: [...argv], cwd, env: { ...env }, columns, rows };
    const { terminal, existed } = await this.#options.retry(() => this.#client.open(message));
    return { terminal: present(terminal, "terminal"), existed };
  }

  attachTerminal(...[terminalId, onUpdate, fromOffset = 0]: Parameters<TerminalsClient["attachTerminal"]>): TerminalHandle {
    const { patienceMs, closed } = this.#options;
    return new TerminalFollow({ client: this.#client, ...this.#target(terminalId), fromOffset, onUpdate, patienceMs, closed });
  }

  async writeTerminal(...[terminalId, data, { inputId }]: Parameters<TerminalsClient["writeTerminal"]>): Promise<{ replayed: boolean }> {
    const { replayed } = await this.#options.retry(() => this.#client.write({ ...this.#target(terminalId), data, inputId }));
    return { replayed };
  }

  async resizeTerminal(terminalId: string, columns: number, rows: number): Promise<void> {
    await this.#options.retry(() => this.#client.resize({ ...this.#target(terminalId), size: { columns, rows } }));
  }

  async terminalScreen(...[terminalId, options = {}]: Parameters<TerminalsClient["terminalScreen"]>): Promise<ScreenResponse> {
    const { scrollbackLines = 0 } = options;
    return await this.#options.retry(() => this.#client.screen({ ...this.#target(terminalId), scrollbackLines }));
  }

  async listTerminals(): Promise<Terminal[]> {
    const { terminals } = await this.#options.retry(() => this.#client.list({ workspace: this.#options.name }));
    return terminals;
  }

  async closeTerminal(terminalId: string): Promise<void> {
    await this.#options.retry(() => this.#client.close(this.#target(terminalId)));
  }

  #target(terminalId: string): { terminalId: string; workspace: string; epoch: bigint } {
    return { terminalId, workspace: this.#options.name, epoch: this.#options.epoch };
  }
}
