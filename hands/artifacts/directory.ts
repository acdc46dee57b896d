import { createReadStream } from "node:fs";
import { copyFile, type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { Code } from "@connectrpc/connect";
import { HarnessError, invalidArgument } from "@serverless-harness/kit/errors";
import { newId } from "@serverless-harness/kit/ids";
import { syncDirectory } from "../files/durable.ts";
import { errnoOf } from "../files/fs-error.ts";
import { type ArtifactContent, type ArtifactStore, artifactsMisconfigured, artifactsUnavailable, assertKey } from "./artifact-store.ts";

/** Holds what is being written. `+` occurs in no key. */
const INCOMING = "+incoming";

/** What a crash left in {@link INCOMING} is removed when it is so old. */
const ABANDONED_MS = 24 * 60 * 60_000;

const CHUNK_BYTES = 1024 * 1024;

/** Artifacts as files below a directory, which may be a volume that several machines share. */
export class DirectoryArtifacts implements ArtifactStore {
  readonly #root: string;
  #swept: Promise<void> | undefined;

  /** `root` is absolute; it is made where it is missing. */
  constructor(root: string) {
    this.#root = root;
  }

  async put(key: string, content: ArtifactContent): Promise<void> {
    const path = this.#locate(key);
    await translated(async () => {
      this.#swept ??= sweep(join(this.#root, INCOMING));
      await this.#swept;
      const temporary = join(this.#root, INCOMING, newId("put"));
      try {
        await writeContent(temporary, content);
        await makeDirectories(dirname(path), this.#root);
        await rename(temporary, path);
      } finally {
        await rm(temporary, { force: true });
      }
      await syncDirectory(dirname(path));
    });
  }

  get(key: string): Promise<Readable | undefined> {
    const path = this.#locate(key);
    return translated(async () => {
      const file = await openFile(path);
      if (file === undefined) return undefined;
      return createReadStream(path, { fd: file, highWaterMark: CHUNK_BYTES });
    });
  }

  has(key: string): Promise<boolean> {
    const path = this.#locate(key);
    return translated(async () => {
      const file = await openFile(path);
      await file?.close();
      return file !== undefined;
    });
  }

  async delete(key: string): Promise<void> {
    const path = this.#locate(key);
    await translated(async () => {
      const file = await openFile(path);
      if (file === undefined) return;
      await file.close();
      await rm(path, { force: true });
      await syncDirectory(dirname(path));
    });
  }

  close(): void {}

  #locate(key: string): string {
    assertKey(key);
    return join(this.#root, key);
  }
}

/** Make the place for what is being written, and clear it of what crashed. */
async function sweep(incoming: string): Promise<void> {
  await mkdir(incoming, { recursive: true });
  for (const name of await readdir(incoming)) {
    const path = join(incoming, name);
    const info = await stat(path).catch(() => undefined);
    if (info !== undefined && Date.now() - info.mtimeMs > ABANDONED_MS) await rm(path, { force: true });
  }
}

async function openFile(path: string): Promise<FileHandle | undefined> {
  try {
    const file = await open(path, "r");
    if ((await file.stat()).isFile()) return file;
    await file.close();
    return undefined;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR") return undefined;
    throw error;
  }
}

async function writeContent(path: string, content: ArtifactContent): Promise<void> {
  if ("file" in content) await copyFile(content.file, path);
  const file = await open(path, "a");
  try {
    if ("bytes" in content) await file.appendFile(content.bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Make a directory and those above it, each durably, up to `root`. */
async function makeDirectories(path: string, root: string): Promise<void> {
  const first = await mkdir(path, { recursive: true });
  if (first === undefined) return;
  for (let at = path; at.length >= first.length && at.length > root.length; at = dirname(at)) await syncDirectory(dirname(at));
}

async function translated<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw translate(error);
  }
}

function translate(error: unknown): unknown {
  switch (errnoOf(error)) {
    case undefined:
      return error;
    case "ENOSPC":
    case "EDQUOT":
      return new HarnessError(Code.ResourceExhausted, "no_space", "the artifact store is full: remove something first", { cause: error });
    case "EISDIR":
    case "ENOTDIR":
    case "EEXIST":
      return invalidArgument([{ field: "key", description: "is the first part of another artifact's key, or the other way round" }]);
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return artifactsMisconfigured("may not be written or read by this daemon: mend the directory's permissions", error);
    default:
      return artifactsUnavailable("failed", error);
  }
}
