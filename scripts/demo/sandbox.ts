import { readFileSync } from "node:fs";
import { createServer, connect as dial, type Server, type Socket } from "node:net";
import { HandsClient, type WorkspaceClient } from "@serverless-harness/hands/client";
import { TokenMint } from "@serverless-harness/kit/hands-token";
import type { StackPaths } from "../../clients/cli/stack/paths.ts";

const TOKEN_LIFE_MS = 60_000;
/** Older owners are refused; the demo is the only one of its workspaces. */
const EPOCH = 1n;

/** Reach the stack's sandbox as a brain or a person would, past the dispatcher: a workspace on a connection of its own. */
export class SandboxVisitor {
  readonly workspace: WorkspaceClient;
  readonly #client: HandsClient;

  /** `address`: another way there than the sandbox's own socket. */
  constructor(paths: StackPaths, name: string, address = `unix:${paths.handsSocket}`) {
    const mint = new TokenMint(readFileSync(paths.privateKey, "utf8"));
    const claims = { subject: "demo", scopes: [name] };
    this.#client = new HandsClient({ address, token: () => mint.mint({ ...claims, expiresAtMs: Date.now() + TOKEN_LIFE_MS }) });
    this.workspace = this.#client.workspace(name, EPOCH);
  }

  close(): void {
    this.#client.close();
  }
}

/** A way to the sandbox that can be cut. */
export class CuttableWay {
  readonly address: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Connections that were made over it. */
  connections = 0;

  private constructor(server: Server, target: string) {
    const bound = server.address();
    this.address = `http://127.0.0.1:${typeof bound === "object" ? bound?.port : 0}`;
    this.#server = server;
    server.on("connection", (client) => this.#join(client, dial(target)));
  }

  static async open(paths: StackPaths): Promise<CuttableWay> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new CuttableWay(server, paths.handsSocket);
  }

  /** Cut every connection in the middle of whatever it says. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(client: Socket, sandbox: Socket): void {
    this.connections++;
    const ends = [client, sandbox] as const;
    const close = (): void => {
      for (const end of ends) {
        end.destroy();
        this.#sockets.delete(end);
      }
    };
    for (const end of ends) {
      this.#sockets.add(end);
      end.on("error", () => undefined).on("close", close);
    }
    client.pipe(sandbox);
    sandbox.pipe(client);
  }
}
