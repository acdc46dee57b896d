import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { Code } from "@connectrpc/connect";
import { fromConnectError, HarnessError, toConnectError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import {
  type PlainHandler,
  type PlainRequest,
  type PlainResponse,
  refuseRpc,
  requestPath,
  type ServeOptions,
} from "@serverless-harness/kit/serve";
import { TUNNEL_PROTOCOL } from "@serverless-harness/kit/tunnel/protocol";
import { refuseUpgrade, Tunnels } from "@serverless-harness/kit/tunnel/tunnels";
import type { Audit } from "./audit/audit.ts";
import { tellDenied } from "./audit/denials.ts";
import type { Authenticator } from "./callers/authenticator.ts";
import { type Caller, requireSandbox, servedTenant } from "./callers/caller.ts";
import type { FoundSandbox } from "./pool/source.ts";

const NAME = "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}";
const ATTACH = new RegExp(`^/v1/sandboxes/(${NAME})/attach$`);
/** What hands serves beside its RPCs is for whoever runs it. */
const CALL = new RegExp(
  `^/v1/sandboxes/(${NAME})/rpc(/(?:harness\\.hands\\.v1\\.[A-Za-z_]\\w*|grpc\\.health\\.v1\\.Health)/[A-Za-z_]\\w*)$`,
);

/** What a relay stands on. */
export interface RelayOptions {
  readonly auth: Authenticator;
  readonly audit: Audit;
  /** Rejects if a sandbox of this tenant, empty if it serves everybody, may not have this name. Default: it may. */
  readonly requireName?: (name: string, tenant: string) => Promise<void>;
  readonly log: Logger;
}

/**
 * Lets sandboxes dial in that nobody can connect to, and hands calls on to them. A sandbox attaches at `/v1/sandboxes/NAME/attach`; its
 * address is then `/v1/sandboxes/NAME/rpc` here. Who may call is the sandbox's own decision: it checks the token of each call.
 */
export class Relay {
  readonly #options: RelayOptions;
  readonly #tunnels: Tunnels;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#tunnels = new Tunnels(options.log);
  }

  /** What the server upgrades. */
  get upgrade(): NonNullable<ServeOptions["upgrade"]> {
    return { protocol: TUNNEL_PROTOCOL, handle: (request, socket, head) => void this.#attach(request, socket, head) };
  }

  /** Stands in front of the dispatcher's own RPCs, as those that are handed on look like them. */
  around(handler: PlainHandler): PlainHandler {
    return (request, response) => {
      const [, name, path] = CALL.exec(requestPath(request)) ?? [];
      if (name === undefined || path === undefined) return handler(request, response);
      this.#forward(name, path, request, response);
    };
  }

  /** The sandboxes that are attached. `url`: where this dispatcher is reached. */
  sandboxes(url: string): FoundSandbox[] {
    return this.#tunnels.servers().map(({ name, owner }) => ({ name, address: `${url}/v1/sandboxes/${name}/rpc`, tenant: owner }));
  }

  /** Let go of all sandboxes: they dial another dispatcher. */
  close(): void {
    this.#tunnels.close();
  }

  #forward(name: string, path: string, request: PlainRequest, response: PlainResponse): void {
    try {
      this.#tunnels.forward(name, path, request, response);
    } catch (error) {
      refuseRpc(request, response, fromConnectError(toConnectError(error)), this.#options.log);
    }
  }

  /** Never rejects. */
  async #attach(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const { auth, audit, requireName, log } = this.#options;
    let caller: Caller | undefined;
    try {
      const [, name] = ATTACH.exec(requestPath(request)) ?? [];
      if (name === undefined) throw new HarnessError(Code.NotFound, "not_found", "sandboxes attach at /v1/sandboxes/NAME/attach");
      caller = await auth.identify(request.headers.authorization);
      requireSandbox(caller, name);
      const tenant = servedTenant(caller);
      await audit.act(caller, { action: "sandbox.attach", sandbox: name }, async () => {
        await requireName?.(name, tenant);
        await this.#tunnels.attach(name, tenant, socket, head);
      });
    } catch (thrown) {
      const error = fromConnectError(toConnectError(thrown));
      log.info({ err: error, path: requestPath(request) }, "a sandbox was refused");
      tellDenied(audit, caller, "sandbox.attach", error);
      refuseUpgrade(socket, error);
    }
  }
}
