import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import type { BytePath } from "../fs/byte-names.ts";
import type { BlobSink } from "./content-reader.ts";
import type { Git, RunningGit } from "./git.ts";
import { EMPTY_TREE, type TreeChange } from "./tree-entries.ts";

const NEWLINE = Buffer.from("\n");

/**
 * Writes blobs and a tree into a repository, by one process, which makes one pack of them. The process is started
 * with the first blob or with {@link finish}. Dispose it: what was not finished is then ended, and what it wrote
 * removed, so nobody else may write to the repository meanwhile.
 */
export class TreeBuilder implements BlobSink, AsyncDisposable {
  readonly #git: Git;
  readonly #gitDir: string;
  readonly #kept: string;
  readonly #known: () => ReadonlySet<string>;
  #knownNow: ReadonlySet<string> | undefined;
  readonly #signal: AbortSignal | undefined;
  #running: RunningGit | undefined;

  /**
   * `kept`: ref at which the last tree that was built is kept. `known`: ids of blobs that the repository has, as far
   * as that is known without asking. Called once, and only for the first blob.
   */
  constructor(git: Git, gitDir: string, kept: string, known: () => ReadonlySet<string>, signal?: AbortSignal) {
    this.#git = git;
    this.#gitDir = gitDir;
    this.#kept = kept;
    this.#known = known;
    this.#signal = signal;
  }

  has(oid: string): boolean {
    this.#knownNow ??= this.#known();
    return this.#knownNow.has(oid);
  }

  async add(content: Uint8Array): Promise<void> {
    await this.#write(Buffer.from(`blob\ndata ${content.length}\n`));
    await this.#write(content);
    await this.#write(NEWLINE);
  }

  async addLarge(size: number, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    await this.#write(Buffer.from(`blob\ndata ${size}\n`));
    for await (const chunk of chunks) await this.#write(chunk);
    await this.#write(NEWLINE);
  }

  /** Make a tree of another one and what has changed since, and return its id once it is durable. Every blob in it has to be there. */
  async finish(before: string, changes: readonly TreeChange[]): Promise<string> {
    const lines = [`commit ${this.#kept}`, "mark :1", "committer harness <harness> 0 +0000", "data 0", `M 040000 ${before} ""`];
    // What goes first makes room: a directory for a file, or the other way round.
    for (const { path, after } of changes) if (after === undefined) lines.push(`D ${quote(path)}`);
    for (const { path, after } of changes) if (after !== undefined) lines.push(`M ${after.mode} ${after.oid} ${quote(path)}`);
    await this.#write(Buffer.from(`${lines.join("\n")}\n\nls :1 ""\ndone\n`, "latin1"));
    const running = this.#start();
    const output = readAll(running.stdout);
    running.stdin.end();
    await running.ended;
    const tree = / ([0-9a-f]{40})\t/.exec(await output)?.[1] ?? EMPTY_TREE;
    this.#running = undefined;
    return tree;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#running === undefined) return;
    this.#running.kill();
    await this.#running.ended.catch(() => undefined);
    const packs = join(this.#gitDir, "objects", "pack");
    for (const name of await readdir(packs)) if (name.startsWith("tmp_")) await rm(join(packs, name), { force: true });
  }

  #start(): RunningGit {
    // Without deltas: files that follow each other have seldom much in common.
    this.#running ??= this.#git.start(["fast-import", "--quiet", "--done", "--force", "--depth=0", "--date-format=raw"], {
      gitDir: this.#gitDir,
      timeoutMs: 30 * 60_000,
      ...(this.#signal === undefined ? {} : { signal: this.#signal }),
    });
    return this.#running;
  }

  async #write(data: Uint8Array): Promise<void> {
    const { stdin, ended } = this.#start();
    if (stdin.write(data)) return;
    // Whichever comes first; an end here is a bad one, and rejects.
    await Promise.race([new Promise<void>((resolve) => stdin.once("drain", resolve)), ended]);
  }
}

async function readAll(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  await new Promise<void>((resolve) => stream.once("close", resolve));
  return Buffer.concat(chunks).toString("latin1");
}

/** A path as fast-import reads it whatever bytes it has. */
function quote(path: BytePath): string {
  const escaped = path.replace(/["\\]|[^ -~]/g, (byte) => `\\${byte.charCodeAt(0).toString(8).padStart(3, "0")}`);
  return `"${escaped}"`;
}
