import { Code, createClient } from "@connectrpc/connect";
import { HandsClient } from "@serverless-harness/hands/client";
import { parseAddress } from "@serverless-harness/kit/address";
import type { ClientTls } from "@serverless-harness/kit/connection";
import { fromConnectError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import { type Claims, TokenMint } from "@serverless-harness/kit/token";
import { createTransport } from "@serverless-harness/kit/transport";
import { ExecService } from "@serverless-harness/proto/hands";
import type { BrainConfig } from "../config.ts";

const TOKEN_LIFE_MS = 5 * 60_000;
/** A clock that differs from hands' by more is not made up for. */
const MAX_CLOCK_CORRECTION_MS = 24 * 3_600_000;

/** Reaches the sandbox, with a token for one workspace where this brain can make one. */
export class Hands {
  readonly #config: BrainConfig;
  readonly #mint: TokenMint | undefined;
  readonly #log: Logger;
  readonly #now: () => number;
  /** How far hands' clock is ahead of this machine's, as far as hands has told. */
  #aheadMs = 0;

  /** `now`: this machine's clock. Default: the real one. */
  constructor(config: BrainConfig, log: Logger, now: () => number = Date.now) {
    this.#config = config;
    this.#log = log;
    this.#now = now;
    this.#mint = config.handsCredential.kind === "key" ? new TokenMint(config.handsCredential.privateKeyPem) : undefined;
  }

  /** A client for one workspace, for the owner that `epoch` names. It connects at its first call. */
  connect(workspace: string, epoch: bigint): HandsClient {
    return this.#client(this.#tokenFor({ scopes: [workspace], epoch }));
  }

  /** One that makes a workspace from others and does nothing else: a token with an epoch would cover a single one. */
  connectForCopy(workspace: string, others: readonly string[]): HandsClient {
    return this.#client(this.#tokenFor({ scopes: [workspace, ...others], operations: ["workspaces"] }));
  }

  /** End an exec that another brain started. Succeeds where there is none of that id. */
  async endExec(workspace: string, epoch: bigint, execId: string): Promise<void> {
    const address = parseAddress(this.#config.handsUrl);
    if (address === undefined) throw new Error("the sandbox's address was checked at start");
    const transport = createTransport({ address, ...this.#credentials(this.#tokenFor({ scopes: [workspace], epoch })) });
    try {
      await createClient(ExecService, transport).signal({ execId, workspace, epoch, cancel: true });
    } catch (thrown) {
      const error = fromConnectError(thrown);
      if (error.reason === "token_expired" && this.#setClock(Number(error.metadata["now_ms"])))
        return this.endExec(workspace, epoch, execId);
      if (error.code !== Code.NotFound) throw error;
    } finally {
      transport.close();
    }
  }

  #client(token: (() => string) | undefined): HandsClient {
    const { handsUrl, handsPatienceMs } = this.#config;
    const onTokenExpired = (nowMs: number): boolean => this.#setClock(nowMs);
    return new HandsClient({ address: handsUrl, patienceMs: handsPatienceMs, onTokenExpired, ...this.#credentials(token) });
  }

  #credentials(token: (() => string) | undefined): { tls?: ClientTls; token?: () => string } {
    const { handsTls } = this.#config;
    return { ...(handsTls === undefined ? {} : { tls: handsTls }), ...(token === undefined ? {} : { token }) };
  }

  /** From now on tokens are made by the clock of hands, which refused a new one as expired. False: they were already, or it can't be believed. */
  #setClock(nowMs: number): boolean {
    const aheadMs = nowMs - this.#now();
    const canBe = this.#mint !== undefined && Number.isFinite(aheadMs) && Math.abs(aheadMs) <= MAX_CLOCK_CORRECTION_MS;
    if (!canBe || Math.abs(aheadMs - this.#aheadMs) < 1000) return false;
    this.#log.warn({ seconds: Math.round(aheadMs / 1000) }, "this machine's clock is slow by so much, as the sandbox has it: set it");
    this.#aheadMs = aheadMs;
    return true;
  }

  /** One with an epoch is void as soon as hands hears of a newer owner. */
  #tokenFor(covers: Pick<Claims, "scopes" | "epoch" | "operations">): (() => string) | undefined {
    const { handsCredential: credential, name: subject } = this.#config;
    if (credential.kind === "token") return () => credential.token;
    const mint = this.#mint;
    if (mint === undefined) return undefined;
    let token = "";
    let expiresAtMs = 0;
    return () => {
      const nowMs = this.#now() + this.#aheadMs;
      if (nowMs < expiresAtMs - TOKEN_LIFE_MS / 2) return token;
      expiresAtMs = nowMs + TOKEN_LIFE_MS;
      token = mint.mint({ subject, audience: "hands", expiresAtMs, ...covers });
      return token;
    };
  }
}
