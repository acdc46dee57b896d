import { createClient } from "@connectrpc/connect";
import type { Address } from "@serverless-harness/kit/address";
import type { ClientTls } from "@serverless-harness/kit/connection";
import { fromConnectError } from "@serverless-harness/kit/errors";
import { createTransport } from "@serverless-harness/kit/transport";
import { WorkspaceService } from "@serverless-harness/proto/hands";
import { type SandboxCredential, SandboxTokens } from "./sandbox-tokens.ts";

/** A workspace with very many files takes minutes; one that takes longer is tried again. */
const TIMEOUT_MS = 10 * 60_000;

/** How the sandbox is reached. */
export interface SandboxSettings {
  readonly address: Address;
  readonly tls: ClientTls | undefined;
  readonly credential: SandboxCredential;
}

/** What the dispatcher itself does in the sandbox. */
export class Sandbox {
  readonly #settings: SandboxSettings;
  readonly #tokens: SandboxTokens | undefined;

  constructor(settings: SandboxSettings) {
    const { credential } = settings;
    this.#settings = settings;
    this.#tokens = credential.kind === "key" ? new SandboxTokens(credential.privateKeyPem) : undefined;
  }

  /**
   * Delete a workspace for good, with its files and its snapshots, unless it has a newer owner than `epoch`. Idempotent. Throws HarnessErrors: `stale_epoch`
   * where it has, UNAVAILABLE where the sandbox is away.
   */
  async deleteWorkspace(workspace: string, epoch: bigint, signal: AbortSignal): Promise<void> {
    const { address, tls } = this.#settings;
    const token = this.#tokenFor(workspace, epoch);
    const transport = createTransport({
      address,
      ...(tls === undefined ? {} : { tls }),
      ...(token === undefined ? {} : { token }),
    });
    try {
      const client = createClient(WorkspaceService, transport);
      await client.delete({ workspace, epoch, forget: true }, { signal, timeoutMs: TIMEOUT_MS });
    } catch (error) {
      throw fromConnectError(error);
    } finally {
      transport.close();
    }
  }

  #tokenFor(workspace: string, epoch: bigint): string | undefined {
    const { credential } = this.#settings;
    if (credential.kind === "token") return credential.token;
    return this.#tokens?.make("dispatcher", { scopes: [workspace], operations: ["workspaces"], epoch });
  }
}
