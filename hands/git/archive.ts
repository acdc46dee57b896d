import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { addAbortSignal, type Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { type ArtifactStore, artifactsUnavailable } from "../artifacts/artifact-store.ts";
import { GitFailure, noSpace } from "./git-failure.ts";
import { type Bundle, formatManifest, MAX_MANIFEST_BYTES, type Manifest, parseManifest, type Signer } from "./manifest.ts";
import { type ObjectStore, refOf } from "./object-store.ts";

const LONG_MS = 30 * 60_000;
/** How long to wait for a description before the store is taken to be away. */
const MANIFEST_MS = 30_000;

/** Name under which a commit is kept while it travels. */
const TRAVELLING = "travelling";

/** Brings trees from a workspace's object store to the artifact store, and back into that of another daemon. */
export class Archive {
  readonly #artifacts: ArtifactStore;
  /** Goes before every key. */
  readonly #prefix: string;
  readonly #store: ObjectStore;
  readonly #signer: Signer;

  /** `signer`: the workspace, whose snapshots lie together, and the key of the store's users. */
  constructor(artifacts: ArtifactStore, signer: Signer, store: ObjectStore) {
    this.#artifacts = artifacts;
    this.#prefix = `${signer.workspace}/`;
    this.#signer = signer;
    this.#store = store;
  }

  /**
   * Write a commit as a bundle: with all it leads to, or without what `since`, its parent, leads to. If it is larger than `maxBytes`,
   * nothing is stored, and `undefined` comes back.
   */
  async putBundle(name: string, commit: string, part?: { since: string; maxBytes: number }): Promise<Bundle | undefined> {
    await using directory = await scratch(this.#store);
    const file = join(directory.path, "bundle");
    await this.#store.keep(TRAVELLING, commit);
    const range = part === undefined ? [] : [`^${part.since}`];
    await this.#store.run(["bundle", "create", "--quiet", "--version=2", file, refOf(TRAVELLING), ...range], { timeoutMs: LONG_MS });
    const { size } = await stat(file);
    if (part !== undefined && size > part.maxBytes) return undefined;
    const key = `${this.#prefix}${name}.bundle`;
    const sha256 = await digestOf(file);
    await this.#artifacts.put(key, { file });
    return { key, commit, bytes: size, sha256, createdAtMs: Date.now() };
  }

  async putManifest(manifest: Manifest): Promise<void> {
    await this.#artifacts.put(this.#manifestKey(manifest.snapshotId), { bytes: formatManifest(manifest, this.#signer) });
  }

  /** Remove a snapshot, and of its bundles those that are not in `used`, by their keys. Idempotent. */
  async remove(manifest: Manifest, used: ReadonlySet<string>): Promise<void> {
    // Without its description a snapshot is not there: no moment shows half of one.
    await this.#artifacts.delete(this.#manifestKey(manifest.snapshotId));
    for (const { key } of manifest.bundles) if (!used.has(key)) await this.#artifacts.delete(key);
  }

  /** All of a snapshot is in the artifact store. */
  async has({ snapshotId, bundles }: Manifest): Promise<boolean> {
    return (await this.#artifacts.has(this.#manifestKey(snapshotId))) && (await this.hasBundles(bundles));
  }

  /** The artifact store has all of these. */
  async hasBundles(bundles: readonly Bundle[]): Promise<boolean> {
    for (const { key } of bundles) if (!(await this.#artifacts.has(key))) return false;
    return true;
  }

  /** The manifest of a snapshot; `undefined` if there is no such snapshot. DATA_LOSS `corrupt_snapshot`. */
  async manifest(snapshotId: string): Promise<Manifest | undefined> {
    const stream = await this.#artifacts.get(this.#manifestKey(snapshotId));
    if (stream === undefined) return undefined;
    const text = await readBounded(stream, snapshotId);
    const manifest = parseManifest(text, this.#signer);
    if (manifest?.snapshotId !== snapshotId || !manifest.bundles.every(({ key }) => key.startsWith(this.#prefix))) {
      throw corrupt(snapshotId, "its description can't be read, or is not by a user of this artifact store for this workspace");
    }
    return manifest;
  }

  /** Bring a snapshot's tree into the object store, unless it is there. DATA_LOSS `corrupt_snapshot`; the store is then as it was. */
  async fetch(manifest: Manifest, signal?: AbortSignal): Promise<void> {
    const { snapshotId, bundles, tree, root } = manifest;
    const last = bundles.at(-1);
    if (last === undefined) throw corrupt(snapshotId, "it has no content");
    if ((await this.#store.treeOf(last.commit)) === undefined) {
      for (const bundle of bundles) {
        // What the next one builds on has to be kept by a name, which a fetch does.
        const isHere = bundle !== last && (await this.#store.treeOf(bundle.commit)) !== undefined;
        await (isHere ? this.#store.keep(TRAVELLING, bundle.commit) : this.#fetchBundle(snapshotId, bundle, signal));
      }
    }
    if ((await this.#store.treeOf(last.commit)) !== (root ?? tree)) throw corrupt(snapshotId, "its content is another tree");
    if (root !== undefined && (await this.#store.entryOf(root, "files")) !== tree) throw corrupt(snapshotId, "its files are another tree");
  }

  async #fetchBundle(snapshotId: string, bundle: Bundle, signal: AbortSignal | undefined): Promise<void> {
    await using directory = await scratch(this.#store);
    const file = join(directory.path, "bundle");
    const stream = await this.#artifacts.get(bundle.key);
    if (stream === undefined) throw corrupt(snapshotId, "a part of it is missing in the artifact store");
    await receive(stream, file, bundle, snapshotId);
    const fixed = ["--quiet", "--force", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules"];
    try {
      // Fetch, unlike `bundle unbundle`, lets nothing in that does not lead to whole trees.
      await this.#store.run(["fetch", ...fixed, "--", file, `+${refOf(TRAVELLING)}:${refOf(TRAVELLING)}`], {
        protocols: ["file"],
        timeoutMs: LONG_MS,
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      const full = noSpace(error);
      if (full !== undefined) throw full;
      if (error instanceof GitFailure && error.end.kind === "exit") throw corrupt(snapshotId, "git can't read it", error);
      throw error;
    }
  }

  #manifestKey(snapshotId: string): string {
    return `${this.#prefix}${snapshotId}.json`;
  }
}

/** A snapshot that is not what was stored. */
export function corrupt(snapshotId: string, why: string, cause?: unknown): HarnessError {
  const message = `snapshot ${snapshotId} is damaged (${why}): the workspace was left as it is; use another snapshot`;
  return new HarnessError(Code.DataLoss, "corrupt_snapshot", message, { metadata: { snapshotId }, cause });
}

/** A description as text. DATA_LOSS if it is too long; UNAVAILABLE if it does not come in time. */
async function readBounded(stream: Readable, snapshotId: string): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  await inTime(MANIFEST_MS, async (signal) => {
    for await (const chunk of addAbortSignal(signal, stream) as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > MAX_MANIFEST_BYTES) throw corrupt(snapshotId, "its description is too long");
      chunks.push(chunk);
    }
  });
  return Buffer.concat(chunks).toString();
}

async function inTime(ms: number, call: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const signal = AbortSignal.timeout(ms);
  try {
    await call(signal);
  } catch (error) {
    throw signal.aborted ? artifactsUnavailable(`did not deliver within ${ms / 1000} s`, error) : error;
  }
}

async function receive(stream: Readable, file: string, bundle: Bundle, snapshotId: string): Promise<void> {
  await inTime(LONG_MS, (signal) => receiveUntil(signal, stream, file, bundle, snapshotId));
}

async function receiveUntil(signal: AbortSignal, stream: Readable, file: string, bundle: Bundle, snapshotId: string): Promise<void> {
  const hash = createHash("sha256");
  let bytes = 0;
  await pipeline(
    stream,
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        bytes += chunk.length;
        if (bytes > bundle.bytes) throw corrupt(snapshotId, "a part of it is longer than what was stored");
        hash.update(chunk);
        yield chunk;
      }
    },
    createWriteStream(file, { mode: 0o600 }),
    { signal },
  );
  if (hash.digest("hex") !== bundle.sha256) throw corrupt(snapshotId, "a part of it is not what was stored");
}

async function digestOf(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file, { highWaterMark: 256 * 1024 }), hash);
  return hash.digest("hex");
}

/** A directory for a bundle on its way; removed when disposed, or by {@link ObjectStore.sweep} after a crash. */
async function scratch(store: ObjectStore): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(store.gitDir, "scratch-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
