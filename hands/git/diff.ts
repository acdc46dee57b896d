import { randomUUID } from "node:crypto";
import { type FileHandle, open, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { LeftOuts } from "../fs/left-out.ts";
import { CountedPatch, type DiffSummary } from "./counted-patch.ts";
import type { ObjectStore } from "./object-store.ts";
import { ALL_BINARY, binaryWhereNeeded, NEVER } from "./patch-attributes.ts";

/** A piece of a patch, or at the end what was counted. */
export type DiffPart = { readonly patch: Buffer } | { readonly summary: DiffSummary };

const CHUNK_BYTES = 256 * 1024;
const TIMEOUT_MS = 5 * 60_000;

/** Names in the two trees are compared as far as this many files were added times removed. */
const RENAME_LIMIT = 1000;

const OPTIONS = [
  "-r",
  "--patch",
  "--binary",
  "--full-index",
  "--find-renames",
  `-l${RENAME_LIMIT}`,
  "--no-ext-diff",
  "--no-textconv",
  "--no-color",
  "--src-prefix=a/",
  "--dst-prefix=b/",
];

/** What is compared. */
export interface Comparison {
  /** Trees, or commits. */
  readonly before: string;
  readonly after: string;
  /** What was changed and is in neither of them; the summary tells. */
  readonly leftOut: LeftOuts;
  /** Keep this much of the patch. */
  readonly maxBytes: number;
}

/** A patch that lies in a file of its own, ready to be sent. Dispose it. */
export class StoredPatch implements AsyncDisposable {
  readonly summary: DiffSummary;
  readonly #file: FileHandle;

  private constructor(file: FileHandle, summary: DiffSummary) {
    this.#file = file;
    this.summary = summary;
  }

  /**
   * Compare two trees and keep the first `maxBytes` of the patch, as `git apply` takes it. It is UTF-8: files that are text in another encoding come in git's binary
   * form. It is written out at once, so that no slow reader holds up the store, and the whole is counted.
   */
  static async make(store: ObjectStore, comparison: Comparison, signal: AbortSignal): Promise<StoredPatch> {
    const path = join(store.gitDir, `scratch-${randomUUID()}`);
    const file = await open(path, "wx+", 0o600);
    try {
      // The open file is all that is needed: whatever happens, nothing is left behind.
      await rm(path);
      let counted = await writePatch(store, comparison, file, undefined, signal);
      if (!counted.isText) counted = await writePatch(store, comparison, file, await binaryWhereNeeded(store, comparison, signal), signal);
      if (!counted.isText) counted = await writePatch(store, comparison, file, ALL_BINARY, signal);
      return new StoredPatch(file, { ...counted.summary, leftOut: comparison.leftOut });
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** The patch in pieces, then its summary. */
  async *parts(): AsyncGenerator<DiffPart> {
    for (let position = 0; ; ) {
      const { buffer, bytesRead } = await this.#file.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, position);
      if (bytesRead === 0) break;
      position += bytesRead;
      yield { patch: buffer.subarray(0, bytesRead) };
    }
    yield { summary: this.summary };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}

/** Write a patch into a file, in the place of what is there. `attributes`: the content of a file of git's attributes that holds for it. */
async function writePatch(
  store: ObjectStore,
  { before, after, maxBytes }: Comparison,
  file: FileHandle,
  attributes: string | undefined,
  signal: AbortSignal,
): Promise<CountedPatch> {
  await using scratch = new AsyncDisposableStack();
  const settings: string[] = [];
  if (attributes !== undefined) {
    const path = join(store.gitDir, `scratch-${randomUUID()}`);
    scratch.defer(() => rm(path, { force: true }));
    await writeFile(path, attributes, { encoding: "latin1", mode: 0o600 });
    settings.push(`core.attributesFile=${path}`, `diff.plain.xfuncname=${NEVER}`);
  }
  await file.truncate(0);
  const git = store.git.start(["diff-tree", ...OPTIONS, before, after, "--"], {
    gitDir: store.gitDir,
    timeoutMs: TIMEOUT_MS,
    settings,
    signal,
  });
  git.stdin.end();
  const counted = new CountedPatch(maxBytes);
  let position = 0;
  for await (const chunk of ended(git.stdout, git.ended)) {
    const kept = counted.add(chunk);
    if (kept.length > 0) await file.write(kept, 0, kept.length, position);
    position += kept.length;
  }
  await git.ended;
  return counted;
}

/** A process's output; where it is cut off, the reason why the process was ended is thrown. */
async function* ended(stdout: AsyncIterable<Buffer>, end: Promise<void>): AsyncGenerator<Buffer> {
  try {
    yield* stdout;
  } catch (error) {
    await end;
    throw error;
  }
}
