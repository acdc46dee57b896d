import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { STORES } from "@serverless-harness/kit/testing/memory";

/** A Redis of its own: a process with a directory, a free port on the loopback, and an append-only file that is synced with every write. */
export class RedisServer implements AsyncDisposable {
  readonly port: number;
  readonly directory: string;
  readonly #args: readonly string[];
  #process: ChildProcess | undefined;
  #stores = 0;

  /** Start one; `args`: more settings, as on the command line. */
  static start(...args: readonly string[]): Promise<RedisServer> {
    return RedisServer.#startIn(tmpdir(), args);
  }

  /** The same for tests: see {@link STORES}. */
  static startInMemory(...args: readonly string[]): Promise<RedisServer> {
    return RedisServer.#startIn(STORES, args);
  }

  static async #startIn(parent: string, args: readonly string[]): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), await mkdtemp(join(parent, "redis-")), args);
    await server.restart();
    return server;
  }

  private constructor(port: number, directory: string, args: readonly string[]) {
    this.port = port;
    this.directory = directory;
    this.#args = args;
  }

  /** The address of a store in it, `prefix` and what else belongs after the question mark. */
  url(parameters = ""): string {
    return `redis://127.0.0.1:${this.port}${parameters === "" ? "" : `?${parameters}`}`;
  }

  /** The address of a store that nobody used before. */
  freshUrl(parameters = ""): string {
    this.#stores++;
    return this.url(`prefix=s${this.#stores}${parameters === "" ? "" : `&${parameters}`}`);
  }

  /** The process's id, while it runs. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** Start it again with what its append-only file holds; resolves when it answers. */
  async restart(): Promise<void> {
    const settings = ["--port", `${this.port}`, "--bind", "127.0.0.1", "--dir", this.directory, "--save", "", "--daemonize", "no"];
    const durable = ["--appendonly", "yes", "--appendfsync", "always"];
    const child = spawn("redis-server", [...settings, ...durable, ...this.#args], { stdio: ["ignore", "pipe", "inherit"] });
    this.#process = child;
    let said = "";
    for await (const line of createInterface(child.stdout)) {
      said += `${line}\n`;
      if (line.includes("Ready to accept connections")) {
        child.stdout.resume();
        return;
      }
    }
    throw new Error(`redis-server ended before it was ready:\n${said}`);
  }

  /** Kill it as the kernel would, and wait until it is gone. What it acknowledged is in its file. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** A port that nobody listens on at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("the system gave no port");
  return address.port;
}
