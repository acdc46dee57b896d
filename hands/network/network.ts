import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import type { Reach } from "./rules.ts";

/** The programs that networks are made with, by their paths. */
export interface NetworkPrograms {
  readonly network: string;
  readonly slirp4netns: string;
  readonly nft: string;
}

/** How much is kept of what the programs say. */
const MAX_SAID = 4096;

/** The network of one workspace, made and kept by a process that lives until the last process that entered it has ended. */
export class Network {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #entering = new Map<number, (entered: boolean) => void>();
  /** Resolves when the process has ended. */
  readonly ended: Promise<void>;
  readonly #ready = Promise.withResolvers<void>();
  #said = "";
  #text = "";

  constructor({ network, slirp4netns, nft }: NetworkPrograms, { rules, hostLoopback }: Reach) {
    const options = hostLoopback ? [] : ["--disable-host-loopback"];
    this.#child = spawn(network, ["make", slirp4netns, nft, rules, ...options], { stdio: ["pipe", "pipe", "pipe"], env: {}, cwd: "/" });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#ready.promise.catch(() => undefined);
    const gone = (why: string): void => {
      this.#ready.reject(new Error(why));
      for (const entered of this.#entering.values()) entered(false);
      this.#entering.clear();
      resolve();
    };
    this.#child.on("error", (error) => gone(`its program can't be run: ${error.message}`));
    // `close` comes after the last byte that was said.
    this.#child.on("close", () => gone(this.#said.trim().replaceAll("\n", "; ")));
    if (this.#child.pid === undefined) return;
    this.#child.stdin.on("error", () => undefined);
    this.#child.stderr.on("data", (data: Buffer) => {
      this.#said = (this.#said + data.toString()).slice(-MAX_SAID);
    });
    this.#child.stdout.on("data", (data: Buffer) => this.#read(data.toString()));
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Resolves when it can be used, rejects with what the programs said if it could not be made. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** Keep it as long as a process lives that is about to enter. False: it has ended meanwhile, with the last one that was in it. */
  async admit(pid: number): Promise<boolean> {
    await this.ready;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return false;
    this.#entering.set(pid, resolve);
    this.#child.stdin.write(`${pid}\n`);
    return promise;
  }

  /** End it, whoever is in it. */
  async close(): Promise<void> {
    if (this.#child.pid !== undefined) this.#child.stdin.end();
    await this.ended;
  }

  #read(text: string): void {
    const lines = (this.#text + text).split("\n");
    this.#text = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") this.#ready.resolve();
      this.#entering.get(Number(line))?.(true);
      this.#entering.delete(Number(line));
    }
  }
}
