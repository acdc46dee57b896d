import { writeFile } from "node:fs/promises";
import { HandsClient, type WorkspaceClient } from "@serverless-harness/hands/client";
import { generateKeys, TokenMint } from "@serverless-harness/kit/hands-token";
import { Door, TOKEN } from "../door/door.ts";
import { type Scratch, scratch } from "../parts/process.ts";
import { type Sandbox, startSandbox } from "../parts/sandbox.ts";

/** As the sandbox calls itself at its relay. */
const NAME = "bench";
const WORKSPACE = "bench/pool";
const TOKEN_LIFE_MS = 3_600_000;

/** One sandbox's daemon, by its own port and by the relay that it dials: a dispatcher. Both without TLS, over the loopback. */
export class BothWays implements AsyncDisposable {
  /** Two workspaces of it, each with a channel of its own. */
  readonly direct: WorkspaceClient;
  readonly dialled: WorkspaceClient;
  readonly #clients: readonly HandsClient[];
  readonly #parts: { readonly door: Door; readonly sandbox: Sandbox; readonly files: Scratch };

  /** Resolves when both ways lead there. */
  static async open(jail: boolean): Promise<BothWays> {
    const files = await scratch();
    const door = await Door.open();
    const keys = generateKeys();
    await writeFile(files.path("hands.pub"), keys.publicKey);
    await writeFile(files.path("relay.token"), TOKEN, { mode: 0o600 });
    const sandbox = await startSandbox(jail, {
      HANDS_LISTEN: "127.0.0.1:0",
      HANDS_PUBLIC_KEY_FILE: files.path("hands.pub"),
      HANDS_RELAY_URL: `${door.origin}/v1/sandboxes/${NAME}/attach`,
      HANDS_RELAY_TOKEN_FILE: files.path("relay.token"),
    });
    const token = await new TokenMint(keys.privateKey).mint({
      subject: "bench",
      scopes: ["bench/*"],
      expiresAtMs: Date.now() + TOKEN_LIFE_MS,
    });
    const ways = [sandbox.address, `${door.origin}/v1/sandboxes/${NAME}/rpc`].map((address) => new HandsClient({ address, token }));
    const opened = new BothWays(ways, { door, sandbox, files });
    await opened.direct.create();
    await opened.dialled.create();
    return opened;
  }

  private constructor(clients: readonly HandsClient[], parts: { door: Door; sandbox: Sandbox; files: Scratch }) {
    const [direct, dialled] = clients.map((client, index) => client.workspace(`${WORKSPACE}-${index}`, 1n));
    if (direct === undefined || dialled === undefined) throw new Error("there are two ways");
    this.direct = direct;
    this.dialled = dialled;
    this.#clients = clients;
    this.#parts = parts;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close();
    const { door, sandbox, files } = this.#parts;
    await sandbox.close();
    await door[Symbol.asyncDispose]();
    await files.remove();
  }
}
