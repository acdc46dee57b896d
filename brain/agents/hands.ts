import { Code, createClient } from "@connectrpc/connect";
import { HandsClient } from "@serverless-harness/hands/client";
import { parseTarget } from "@serverless-harness/kit/address";
import { fromConnectError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import { type ClientTransport, createTransport, type Token } from "@serverless-harness/kit/transport";
import { ExecService } from "@serverless-harness/proto/hands";
import { type Claim, sessionKey } from "@serverless-harness/session";
import type { BrainConfig } from "../config.ts";
import { Room, type RoomOptions } from "./room.ts";
import { SandboxGrant } from "./sandbox-grant.ts";

type Settings = Pick<BrainConfig, "name" | "handsUrl" | "handsTls" | "handsPatienceMs" | "handsCredential" | "leaseMs">;

/** The sandbox of one claimed leaf. */
export interface ClaimedSandbox {
  /** For the session's workspace, as its owner. It connects at its first call. */
  readonly client: HandsClient;
  /** For making the workspace, which may have to reach another one for that. */
  readonly maker: HandsClient;
  /** Its room in the pool. `undefined`: there is one sandbox for all. */
  readonly room: Room | undefined;
  /** The sandbox that the session moves from, if that can be asked for what it has there. */
  readonly from: HandsClient | undefined;
  /** End an exec that another brain started. Succeeds if there is none of that id. */
  endExec(execId: string): Promise<void>;
  /** Let go of everything. What runs in the sandbox goes on. */
  close(): void;
}

/** The pool, as a claimed leaf uses it. */
export type Pool = Pick<RoomOptions, "sandboxes" | "onAway" | "log">;

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

  /**
   * The sandbox of a leaf that was just claimed. With a pool the session is placed; without one (default) there is one sandbox for all. If the dispatcher
   * gives tokens, they are asked for now. Throws what {@link Sandboxes.place} throws.
   */
  async open(claim: Claim, pool?: Pool): Promise<ClaimedSandbox> {
    const { leaf, fence } = claim;
    const room = await this.#place(claim, pool);
    const { sandbox, moved } = room?.placement ?? {};
    const proof = this.#prove(leaf.leafId, fence.epoch, sandbox?.name ?? "");
    const address = sandbox?.address ?? this.#settings.handsUrl;
    const client = this.#client(address, proof.token, proof.expired);
    // A token of a session's epoch covers its workspace alone.
    const maker = leaf.spec?.fork === undefined ? client : this.#client(address, proof.makingToken, proof.expired);
    const from = moved?.isThere === true ? this.#client(moved.address, proof.token, proof.expired) : undefined;
    return {
      client,
      maker,
      room,
      from,
      endExec: (execId) => this.#endExec(address, sessionKey(fence), fence.epoch, execId, proof),
      close: () => {
        for (const each of [from, maker, client]) each?.close();
        proof.close();
        void room?.leave();
      },
    };
  }

  /** Let go of the dispatcher. */
  close(): void {
    this.#dispatcher?.close();
  }

  async #place({ leaf, fence }: Claim, pool: Pool | undefined): Promise<Room | undefined> {
    if (pool === undefined) return undefined;
    const { handsTls: tls, leaseMs } = this.#settings;
    const { sandbox: wish, fork } = leaf.spec ?? {};
    const wishes = {
      labels: wish?.labels ?? {},
      ...(wish === undefined || wish.nearSessionId === "" ? {} : { near: wish.nearSessionId }),
      ...(fork === undefined ? {} : { copyOf: fork.sessionId }),
    };
    return Room.take({ ...pool, fence, wishes, leaseMs, tls });
  }

  /** `sandbox`: its name in the pool; empty: there is one for all. */
  #prove(leafId: string, epoch: bigint, sandbox: string): Proof {
    const { handsCredential: credential, name: worker, handsPatienceMs: patienceMs } = this.#settings;
    switch (credential.kind) {
      case "none":
        return { close: () => undefined };
      case "token":
        return { token: credential.token, makingToken: credential.token, close: () => undefined };
      case "dispatcher": {
        const { address, tls, token } = credential;
        this.#dispatcher ??= createTransport({ address, token, ...(tls === undefined ? {} : { tls }) });
        return new SandboxGrant({ transport: this.#dispatcher, leafId, epoch, worker, sandbox, patienceMs, log: this.#log });
      }
    }
  }

  async #endExec(url: string, workspace: string, epoch: bigint, execId: string, proof: Proof): Promise<void> {
    const target = parseTarget(url);
    if (target === undefined) throw new Error("the sandbox's address was checked at start");
    const { handsTls } = this.#settings;
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
      if (error.reason === "token_expired" && proof.expired?.() === true) return this.#endExec(url, workspace, epoch, execId, proof);
      if (error.code !== Code.NotFound) throw error;
    } finally {
      transport.close();
    }
  }

  #client(address: string, token: Token | undefined, onTokenExpired: (() => boolean) | undefined): HandsClient {
    const { handsTls, handsPatienceMs } = this.#settings;
    return new HandsClient({
      address,
      patienceMs: handsPatienceMs,
      ...(onTokenExpired === undefined ? {} : { onTokenExpired }),
      ...(handsTls === undefined ? {} : { tls: handsTls }),
      ...(token === undefined ? {} : { token }),
    });
  }
}
