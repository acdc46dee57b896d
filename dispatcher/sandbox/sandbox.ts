import { type Client, createClient } from "@connectrpc/connect";
import type { Target } from "@serverless-harness/kit/address";
import type { ClientTls } from "@serverless-harness/kit/connection";
import { fromConnectError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import { createTransport } from "@serverless-harness/kit/transport";
import { WorkspaceService } from "@serverless-harness/proto/hands";
import { type Covers, SandboxTokens, TOKEN_LIFE_MS } from "./sandbox-tokens.ts";

/** A workspace with very many files takes minutes; one that takes longer is tried again. */
const DELETE_TIMEOUT_MS = 10 * 60_000;
const CLOCK_TIMEOUT_MS = 5000;
/** A workspace that there is not: a token for it may do nothing. */
const NO_WORKSPACE = "dispatcher/clock";

/** How the dispatcher proves itself to hands. */
export type SandboxCredential =
  | { readonly kind: "none" }
  | { readonly kind: "token"; readonly token: string }
  /** The key that tokens are made with. */
  | { readonly kind: "key"; readonly privateKeyPem: string };

/** How the sandbox is reached. */
export interface SandboxSettings {
  readonly target: Target;
  readonly tls: ClientTls | undefined;
  readonly credential: SandboxCredential;
}

/** The sandbox as the dispatcher knows it: it makes the tokens that open it, and deletes what nobody needs any more. */
export class Sandbox {
  /** How long a token that it makes is good, in milliseconds. */
  readonly tokenLifeMs = TOKEN_LIFE_MS;
  readonly #settings: SandboxSettings;
  readonly #tokens: SandboxTokens | undefined;
  readonly #log: Logger;
  #learning: Promise<void> | undefined;

  /** `now`: this machine's clock. Default: the real one. */
  constructor(settings: SandboxSettings, log: Logger, now?: () => number) {
    const { credential } = settings;
    this.#settings = settings;
    this.#log = log;
    this.#tokens = credential.kind === "key" ? new SandboxTokens(credential.privateKeyPem, now) : undefined;
  }

  /** It has the key. */
  get mintsTokens(): boolean {
    return this.#tokens !== undefined;
  }

  /** A token for `subject`. Rejects where {@link mintsTokens} is false. */
  async makeToken(subject: string, covers: Covers): Promise<string> {
    if (this.#tokens === undefined) throw new Error("without the key there are no tokens");
    return await this.#tokens.make(subject, covers);
  }

  /** Ask the sandbox for its time, and make tokens by that. Never rejects: what can't be learned is for the next one who is refused. */
  learnClock(): Promise<void> {
    this.#learning ??= this.#learn().finally(() => {
      this.#learning = undefined;
    });
    return this.#learning;
  }

  /**
   * Delete a workspace for good, with its files and its snapshots, unless it has a newer owner than `epoch`. Idempotent. Throws HarnessErrors:
   * `stale_epoch` where it has, UNAVAILABLE where the sandbox is away.
   */
  async deleteWorkspace(workspace: string, epoch: bigint, signal: AbortSignal): Promise<void> {
    const remove = (): Promise<unknown> =>
      this.#call({ scopes: [workspace], operations: ["workspaces"], epoch }, (client) =>
        client.delete({ workspace, epoch, forget: true }, { signal, timeoutMs: DELETE_TIMEOUT_MS }),
      );
    try {
      await remove();
    } catch (error) {
      if (fromConnectError(error).reason !== "token_expired" || !this.#setClock(error)) throw error;
      await remove();
    }
  }

  /** A sandbox whose clock is far ahead tells its time with the refusal. */
  async #learn(): Promise<void> {
    try {
      await this.#call({ scopes: [NO_WORKSPACE], operations: ["workspaces"] }, (client) =>
        client.list({}, { timeoutMs: CLOCK_TIMEOUT_MS }),
      );
    } catch (error) {
      this.#setClock(error);
    }
  }

  #setClock(error: unknown): boolean {
    const aheadMs = this.#tokens?.setClock(Number(fromConnectError(error).metadata["now_ms"]));
    if (aheadMs === undefined) return false;
    this.#log.warn({ seconds: Math.round(aheadMs / 1000) }, "this machine's clock is slow by so much, as the sandbox has it: set it");
    return true;
  }

  async #call<T>(covers: Covers, call: (client: Client<typeof WorkspaceService>) => Promise<T>): Promise<T> {
    const { target, tls, credential } = this.#settings;
    const token = credential.kind === "token" ? credential.token : await this.#tokens?.make("dispatcher", covers);
    const transport = createTransport({
      ...target,
      ...(tls === undefined ? {} : { tls }),
      ...(token === undefined ? {} : { token }),
    });
    try {
      return await call(createClient(WorkspaceService, transport));
    } catch (error) {
      throw fromConnectError(error);
    } finally {
      transport.close();
    }
  }
}
