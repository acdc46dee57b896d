import { type Client, Code, createClient } from "@connectrpc/connect";
import type { Target } from "@serverless-harness/kit/address";
import type { ClientTls } from "@serverless-harness/kit/connection";
import { fromConnectError, HarnessError } from "@serverless-harness/kit/errors";
import { inTime } from "@serverless-harness/kit/in-time";
import type { Logger } from "@serverless-harness/kit/log";
import { type ClientTransport, createTransport } from "@serverless-harness/kit/transport";
import { type DescribeResponse, IdentityService, type Workspace, WorkspaceService } from "@serverless-harness/proto/hands";
import { type Covers, SandboxTokens, TOKEN_LIFE_MS } from "./sandbox-tokens.ts";

/** A workspace with very many files takes minutes; what takes longer is tried again. */
const WORK_TIMEOUT_MS = 10 * 60_000;
const CLOCK_TIMEOUT_MS = 5000;
/** What a token covers that may do nothing with any workspace: there is none of this name. */
const NOTHING: Covers = { scopes: ["dispatcher/none"], operations: ["workspaces.list"] };
/** A sandbox that says more of itself is not heard. */
const MAX_DESCRIPTION_BYTES = 128 * 1024;

/** How the dispatcher proves itself to hands. */
export type SandboxCredential =
  | { readonly kind: "none" }
  | { readonly kind: "token"; readonly token: string }
  /** The key that tokens are made with. */
  | { readonly kind: "key"; readonly privateKeyPem: string };

/** How sandboxes are got into. */
export interface SandboxAccess {
  /** For https addresses. */
  readonly tls: ClientTls | undefined;
  readonly credential: SandboxCredential;
}

/** How the sandbox is reached. */
export interface SandboxSettings extends SandboxAccess {
  readonly target: Target;
}

/** Makes tokens that open sandboxes. `sandbox`: the name of one of the pool. */
export interface SandboxKeys {
  /** How long a token that it makes is good, in milliseconds. */
  readonly tokenLifeMs: number;
  /** It has the key. */
  readonly mintsTokens: boolean;
  /** A token for `subject`, by the sandbox's clock as far as it is known. Rejects if {@link mintsTokens} is false. */
  makeToken(subject: string, covers: Covers, sandbox?: string): Promise<string>;
  /** Ask a sandbox for its time, and make tokens for it by that. Never rejects: what can't be learned is for the next one who is refused. */
  learnClock(sandbox?: string): Promise<void>;
}

/** The sandbox as the dispatcher knows it: it makes the tokens that open it, and deletes what nobody needs any more. */
export class Sandbox implements SandboxKeys {
  readonly tokenLifeMs = TOKEN_LIFE_MS;
  readonly #settings: SandboxSettings;
  readonly #tokens: SandboxTokens | undefined;
  readonly #log: Logger;
  #learning: Promise<void> | undefined;
  /** The connection on which it is asked who it is, and the token for that, with the time when it was made. */
  #kept: ClientTransport | undefined;
  #keptToken: { readonly token: Promise<string>; readonly at: number } | undefined;

  /** `now`: this machine's clock. Default: the real one. */
  constructor(settings: SandboxSettings, log: Logger, now?: () => number) {
    const { credential } = settings;
    this.#settings = settings;
    this.#log = log;
    this.#tokens = credential.kind === "key" ? new SandboxTokens(credential.privateKeyPem, now) : undefined;
  }

  get mintsTokens(): boolean {
    return this.#tokens !== undefined;
  }

  async makeToken(subject: string, covers: Covers): Promise<string> {
    if (this.#tokens === undefined) throw new Error("without the key there are no tokens");
    return await this.#tokens.make(subject, covers);
  }

  learnClock(): Promise<void> {
    this.#learning ??= this.#learn().finally(() => {
      this.#learning = undefined;
    });
    return this.#learning;
  }

  /** What it says of itself. Rejects with a HarnessError, at the latest after `timeoutMs`. */
  async describe(timeoutMs: number): Promise<DescribeResponse> {
    this.#kept ??= this.#connect(() => this.#identityToken(), MAX_DESCRIPTION_BYTES);
    const late = (): HarnessError => new HarnessError(Code.DeadlineExceeded, "timeout", `no answer within ${timeoutMs} ms`);
    const client = createClient(IdentityService, this.#kept);
    try {
      // A connection that does not come up heeds no deadline.
      return await inTime(() => client.describe({}, { timeoutMs }), timeoutMs, late);
    } catch (error) {
      this.#setClock(error);
      throw fromConnectError(error);
    }
  }

  /** Let go of what {@link describe} keeps. */
  close(): void {
    this.#kept?.close();
    this.#kept = undefined;
  }

  /**
   * Delete a workspace, unless it has a newer owner than `epoch`. Idempotent. `forget`: for good, with its snapshots; otherwise it may be elsewhere. Throws
   * HarnessErrors: `stale_epoch` if it has, UNAVAILABLE if the sandbox is away.
   */
  async deleteWorkspace(workspace: string, epoch: bigint, signal: AbortSignal, forget = true): Promise<void> {
    await this.#work(workspace, epoch, (client) => client.delete({ workspace, epoch, forget }, { signal, timeoutMs: WORK_TIMEOUT_MS }));
  }

  /**
   * A snapshot of a workspace that nobody works in, under its last owner's epoch: a new one of this id, or one that it has and that holds the same. Returns its
   * id. Throws HarnessErrors: NOT_FOUND `unknown_workspace`, `stale_epoch` if it has a newer owner, UNAVAILABLE if the sandbox is away.
   */
  async snapshot(workspace: string, epoch: bigint, snapshotId: string, signal: AbortSignal): Promise<string> {
    const request = { workspace, epoch, snapshotId, onlyIfChanged: true };
    const { snapshot } = await this.#work(workspace, epoch, (client) => client.snapshot(request, { signal, timeoutMs: WORK_TIMEOUT_MS }));
    if (snapshot === undefined) throw new HarnessError(Code.Internal, "no_snapshot", "the sandbox told of no snapshot");
    return snapshot.snapshotId;
  }

  /** Every workspace of a tenant, of all if it is empty, with the newest epoch that it saw of each. Throws HarnessErrors. */
  async workspaces(tenant: string, signal: AbortSignal): Promise<ReadonlyArray<Pick<Workspace, "name" | "epoch">>> {
    const covers: Covers = { scopes: [tenant === "" ? "*" : `${tenant}/*`], operations: ["workspaces.list"] };
    return (await this.#call(covers, (client) => client.list({}, { signal, timeoutMs: WORK_TIMEOUT_MS }))).workspaces;
  }

  /** Do something with one workspace; a second time if the sandbox tells by the first what time it is. */
  async #work<T>(workspace: string, epoch: bigint, call: (client: Client<typeof WorkspaceService>) => Promise<T>): Promise<T> {
    const covers: Covers = { scopes: [workspace], operations: ["workspaces"], epoch };
    try {
      return await this.#call(covers, call);
    } catch (error) {
      if (fromConnectError(error).reason !== "token_expired" || !this.#setClock(error)) throw error;
      return await this.#call(covers, call);
    }
  }

  /** A sandbox whose clock is far ahead tells its time with the refusal. */
  async #learn(): Promise<void> {
    try {
      await this.#call(NOTHING, (client) => client.list({}, { timeoutMs: CLOCK_TIMEOUT_MS }));
    } catch (error) {
      this.#setClock(error);
    }
  }

  #setClock(error: unknown): boolean {
    const aheadMs = this.#tokens?.setClock(Number(fromConnectError(error).metadata["now_ms"]));
    if (aheadMs === undefined) return false;
    this.#keptToken = undefined;
    this.#log.warn({ seconds: Math.round(aheadMs / 1000) }, "this machine's clock is slow by so much, as the sandbox has it: set it");
    return true;
  }

  async #call<T>(covers: Covers, call: (client: Client<typeof WorkspaceService>) => Promise<T>): Promise<T> {
    const transport = this.#connect(() => this.#tokens?.make("dispatcher", covers));
    try {
      return await call(createClient(WorkspaceService, transport));
    } catch (error) {
      throw fromConnectError(error);
    } finally {
      transport.close();
    }
  }

  /** `made`: a token of ours; what it makes counts if that is how the sandbox is got into. */
  #connect(made: () => Promise<string> | undefined, readMaxBytes?: number): ClientTransport {
    const { target, tls, credential } = this.#settings;
    const token =
      credential.kind === "none" ? undefined : credential.kind === "token" ? credential.token : async () => (await made()) ?? "";
    return createTransport({
      ...target,
      ...(tls === undefined ? {} : { tls }),
      ...(token === undefined ? {} : { token }),
      ...(readMaxBytes === undefined ? {} : { readMaxBytes }),
    });
  }

  /** One is used for half of its life: it is asked for all the time. */
  #identityToken(): Promise<string> | undefined {
    const now = performance.now();
    if (this.#tokens !== undefined && (this.#keptToken === undefined || now - this.#keptToken.at > TOKEN_LIFE_MS / 2))
      this.#keptToken = { token: this.#tokens.make("dispatcher", NOTHING), at: now };
    return this.#keptToken?.token;
  }
}
