import { Code, createClient } from "@connectrpc/connect";
import { HandsClient } from "@serverless-harness/hands/client";
import { parseTarget } from "@serverless-harness/kit/address";
import { fromConnectError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import { type ClientTransport, createTransport, type Token } from "@serverless-harness/kit/transport";
import { ExecService } from "@serverless-harness/proto/hands";
import { type Claim, sessionKey } from "@serverless-harness/session";
import type { BrainConfig } from "../config.ts";
import { SandboxGrant } from "./sandbox-grant.ts";

type Settings = Pick<BrainConfig, "name" | "handsUrl" | "handsTls" | "handsPatienceMs" | "handsCredential">;

/** The sandbox of one claimed leaf. */
export interface ClaimedSandbox {
  /** For the session's workspace, as its owner. It connects at its first call. */
  readonly client: HandsClient;
  /** For making the workspace, which may have to reach another one for that. */
  readonly maker: HandsClient;
  /** End an exec that another brain started. Succeeds if there is none of that id. */
  endExec(execId: string): Promise<void>;
  /** Let go of everything. What runs in the sandbox goes on. */
  close(): void;
}

/** What proves a claim to hands. */
interface Proof {
  readonly token?: Token;
  readonly makingToken?: Token;
  /** Hands refused the token as expired: there is a better one now. */
  readonly expired?: () => boolean;
  close(): void;
}

/** Reaches the sandbox, for the leaves that this brain has claimed. */
export class Hands {
  readonly #settings: Settings;
  readonly #log: Logger;
  #dispatcher: ClientTransport | undefined;

  constructor(settings: Settings, log: Logger) {
    this.#settings = settings;
    this.#log = log;
  }

  /** The sandbox of a leaf that was just claimed. If the dispatcher gives tokens, they are asked for now. */
  open({ leaf, fence }: Claim): ClaimedSandbox {
    const proof = this.#prove(leaf.leafId, fence.epoch);
    const name = sessionKey(fence);
    const client = this.#client(proof.token, proof.expired);
    // A token of a session's epoch covers its workspace alone.
    const maker = leaf.spec?.fork === undefined ? client : this.#client(proof.makingToken, proof.expired);
    return {
      client,
      maker,
      endExec: (execId) => this.#endExec(name, fence.epoch, execId, proof),
      close: () => {
        maker.close();
        client.close();
        proof.close();
      },
    };
  }

  /** Let go of the dispatcher. */
  close(): void {
    this.#dispatcher?.close();
  }

  #prove(leafId: string, epoch: bigint): Proof {
    const { handsCredential: credential, name: worker, handsPatienceMs: patienceMs } = this.#settings;
    switch (credential.kind) {
      case "none":
        return { close: () => undefined };
      case "token":
        return { token: credential.token, makingToken: credential.token, close: () => undefined };
      case "dispatcher": {
        const { address, tls, token } = credential;
        this.#dispatcher ??= createTransport({ address, token, ...(tls === undefined ? {} : { tls }) });
        return new SandboxGrant({ transport: this.#dispatcher, leafId, epoch, worker, patienceMs, log: this.#log });
      }
    }
  }

  async #endExec(workspace: string, epoch: bigint, execId: string, proof: Proof): Promise<void> {
    const { handsUrl, handsTls } = this.#settings;
    const target = parseTarget(handsUrl);
    if (target === undefined) throw new Error("the sandbox's address was checked at start");
    const { token } = proof;
    const transport = createTransport({
      ...target,
      ...(handsTls === undefined ? {} : { tls: handsTls }),
      ...(token === undefined ? {} : { token }),
    });
    try {
      await createClient(ExecService, transport).signal({ execId, workspace, epoch, cancel: true });
    } catch (thrown) {
      const error = fromConnectError(thrown);
      if (error.reason === "token_expired" && proof.expired?.() === true) return this.#endExec(workspace, epoch, execId, proof);
      if (error.code !== Code.NotFound) throw error;
    } finally {
      transport.close();
    }
  }

  #client(token: Token | undefined, onTokenExpired: (() => boolean) | undefined): HandsClient {
    const { handsUrl, handsTls, handsPatienceMs } = this.#settings;
    return new HandsClient({
      address: handsUrl,
      patienceMs: handsPatienceMs,
      ...(onTokenExpired === undefined ? {} : { onTokenExpired }),
      ...(handsTls === undefined ? {} : { tls: handsTls }),
      ...(token === undefined ? {} : { token }),
    });
  }
}
