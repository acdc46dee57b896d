import { randomUUID } from "node:crypto";
import { type FileHandle, open, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { TextDecoder } from "node:util";
import type { BytePath } from "../fs/byte-names.ts";
import type { LeftOuts } from "../fs/left-out.ts";
import { readBlobs } from "./blob-reader.ts";
import type { ObjectStore } from "./object-store.ts";

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

interface Comparison {
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
   * Compare two trees and keep the first `maxBytes` of the patch, as `git apply` takes it. It is UTF-8: files that
   * are text in another encoding come in git's binary form. It is written out at once, so that no slow reader holds
   * up the store, and the whole is counted.
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

/** A process's output; if it is cut off, the reason why the process was ended is thrown. */
async function* ended(stdout: AsyncIterable<Buffer>, end: Promise<void>): AsyncGenerator<Buffer> {
  try {
    yield* stdout;
  } catch (error) {
    await end;
    throw error;
  }
}

/** Attributes by which a patch is ASCII, whatever the files are. */
const ALL_BINARY = "* -diff\n";

/** A regular expression that matches no line: git cuts what it quotes of a function's head at 80 bytes, also within a character. */
const NEVER = "^$x";

/** Attributes by which a patch between two trees is UTF-8: what is none comes in git's binary form, and no part of a line is quoted. */
async function binaryWhereNeeded(
  store: ObjectStore,
  { before, after }: { readonly before: string; readonly after: string },
  signal: AbortSignal,
): Promise<string> {
  const paths = new Map<string, Set<BytePath>>();
  for (const change of await store.changes(before, after)) {
    for (const entry of [change.before, change.after]) {
      // A submodule's commit is not in the store.
      if (entry === undefined || !/^1[02]0/.test(entry.mode)) continue;
      paths.set(entry.oid, (paths.get(entry.oid) ?? new Set()).add(change.path));
    }
  }
  const oids = [...paths.keys()];
  const binary = new Set<BytePath>();
  let index = 0;
  for await (const { content } of readBlobs(store.git, store.gitDir, oids, signal)) {
    const oid = oids[index++] ?? "";
    if (!(await isText(Buffer.isBuffer(content) ? [content] : content))) for (const path of paths.get(oid) ?? []) binary.add(path);
  }
  return ["* diff=plain", ...[...binary].map((path) => `${quote(path)} -diff`), ""].join("\n");
}

async function isText(pieces: AsyncIterable<Buffer> | readonly Buffer[]): Promise<boolean> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let valid = true;
  // Read to the end in any case, as the next one comes after it.
  for await (const piece of pieces) valid &&= decodes(decoder, piece, true);
  return valid && decodes(decoder, Buffer.alloc(0), false);
}

function decodes(decoder: TextDecoder, piece: Buffer, stream: boolean): boolean {
  try {
    decoder.decode(piece, { stream });
    return true;
  } catch {
    // The decoder says no more than that.
    return false;
  }
}

/** A path as a pattern that nothing else matches. */
function quote(path: BytePath): string {
  const pattern = `/${path.replace(/[*?[\\]/g, "\\$&")}`;
  return `"${pattern.replace(/["\\]|[^ -~]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, "0")}`)}"`;
}

export interface DiffSummary {
  /** Files that differ; a renamed one is one. */
  readonly files: number;
  readonly bytes: number;
  /** The patch is longer than was asked for; what was sent is cut. */
  readonly truncated: boolean;
  readonly leftOut: LeftOuts;
}

/**
 * How git begins a file's part of a patch. No other line of a patch can begin so: they begin with a space, `+`, `-`,
 * `\`, or hold no space.
 */
const HEADER = "diff --git ";

/** Counts a patch that comes in pieces, and tells which part of each is within the limit. */
class CountedPatch {
  readonly #limit: number;
  #files = 0;
  #bytes = 0;
  /** The end of what was seen, as far as a header that is cut in two needs it; at first the start of a line. */
  #tail = "\n";
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });
  #isText = true;

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(chunk: Buffer): Buffer {
    this.#isText &&= this.#decodes(chunk);
    const text = this.#tail + chunk.toString("latin1");
    const header = `\n${HEADER}`;
    for (let at = text.indexOf(header); at !== -1; at = text.indexOf(header, at + header.length)) this.#files += 1;
    this.#tail = text.slice(-(header.length - 1));
    const kept = chunk.subarray(0, Math.max(0, this.#limit - this.#bytes));
    this.#bytes += chunk.length;
    return kept;
  }

  /** All of it so far is UTF-8. */
  get isText(): boolean {
    return this.#isText;
  }

  get summary(): Omit<DiffSummary, "leftOut"> {
    return { files: this.#files, bytes: this.#bytes, truncated: this.#bytes > this.#limit };
  }

  #decodes(chunk: Buffer): boolean {
    try {
      this.#decoder.decode(chunk, { stream: true });
      return true;
    } catch {
      // The decoder says no more than that.
      return false;
    }
  }
}
