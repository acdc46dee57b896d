import { Code, createClient } from "@connectrpc/connect";
import { HandsClient } from "@serverless-harness/hands/client";
import { parseAddress } from "@serverless-harness/kit/address";
import type { ClientTls } from "@serverless-harness/kit/connection";
import { fromConnectError } from "@serverless-harness/kit/errors";
import { type Claims, TokenMint } from "@serverless-harness/kit/token";
import { createTransport } from "@serverless-harness/kit/transport";
import { ExecService } from "@serverless-harness/proto/hands";
import type { BrainConfig } from "../config.ts";

const TOKEN_LIFE_MS = 5 * 60_000;

/** Reaches the sandbox, with a token for one workspace where this brain can make one. */
export class Hands {
  readonly #config: BrainConfig;
  readonly #mint: TokenMint | undefined;

  constructor(config: BrainConfig) {
    this.#config = config;
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
      if (error.code !== Code.NotFound) throw error;
    } finally {
      transport.close();
    }
  }

  #client(token: (() => string) | undefined): HandsClient {
    const { handsUrl, handsPatienceMs } = this.#config;
    return new HandsClient({ address: handsUrl, patienceMs: handsPatienceMs, ...this.#credentials(token) });
  }

  #credentials(token: (() => string) | undefined): { tls?: ClientTls; token?: () => string } {
    const { handsTls } = this.#config;
    return { ...(handsTls === undefined ? {} : { tls: handsTls }), ...(token === undefined ? {} : { token }) };
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
      if (Date.now() < expiresAtMs - TOKEN_LIFE_MS / 2) return token;
      expiresAtMs = Date.now() + TOKEN_LIFE_MS;
      token = mint.mint({ subject, audience: "hands", expiresAtMs, ...covers });
      return token;
    };
  }
}
