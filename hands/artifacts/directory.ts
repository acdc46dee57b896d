import { constants, createReadStream } from "node:fs";
import { chmod, copyFile, type FileHandle, mkdir, open, readdir, rename, rm, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { Code } from "@connectrpc/connect";
import { HarnessError, invalidArgument } from "@serverless-harness/kit/errors";
import { newId } from "@serverless-harness/kit/ids";
import { inTime } from "@serverless-harness/kit/in-time";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import { removeTree } from "../fs/remove-tree.ts";
import { type ArtifactContent, type ArtifactStore, artifactsMisconfigured, artifactsUnavailable, assertKey } from "./artifact-store.ts";

/** Holds what is being written. `+` occurs in no key. */
const INCOMING = "+incoming";

/** What a crash left in {@link INCOMING} is removed when it is so old. */
const ABANDONED_MS = 24 * 60 * 60_000;

const CHUNK_BYTES = 1024 * 1024;

/** How long to wait for a volume: for a look at names, and for a whole artifact. */
const LOOK_MS = 30_000;
const WRITE_MS = 30 * 60_000;

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** Never waits for whoever is at the other end of a FIFO, and follows no link. */
const ARTIFACT = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;

/**
 * Artifacts as files below a directory, which may be a volume that several machines share. Others may write there
 * too: directories are gone down by handles, and neither a link nor anything but a regular file is ever opened for
 * its content.
 */
export class DirectoryArtifacts implements ArtifactStore {
  readonly #root: string;
  #swept: Promise<void> | undefined;

  /** `root` is absolute; it is made if it is missing. */
  constructor(root: string) {
    this.#root = root;
  }

  async put(key: string, content: ArtifactContent): Promise<void> {
    assertKey(key);
    await translated(WRITE_MS, async () => {
      this.#swept ??= sweep(this.#root);
      await this.#swept;
      const temporary = join(this.#root, INCOMING, newId("put"));
      try {
        await writeContent(temporary, content);
        await using directory = await this.#makeDirectory(key);
        await rename(temporary, childOf(directory.file, nameOf(key)));
        await directory.file.sync();
      } finally {
        await rm(temporary, { force: true });
      }
    });
  }

  get(key: string): Promise<Readable | undefined> {
    assertKey(key);
    return translated(LOOK_MS, async () => {
      const file = await this.#open(key);
      // The path is ignored if there is a descriptor.
      return file === undefined ? undefined : createReadStream("", { fd: file, highWaterMark: CHUNK_BYTES });
    });
  }

  has(key: string): Promise<boolean> {
    assertKey(key);
    return translated(LOOK_MS, async () => {
      const file = await this.#open(key);
      await file?.close();
      return file !== undefined;
    });
  }

  async delete(key: string): Promise<void> {
    assertKey(key);
    await translated(LOOK_MS, async () => {
      await using directory = await this.#directory(key);
      if (directory === undefined) return;
      const file = await openArtifact(childOf(directory.file, nameOf(key)));
      if (file === undefined) return;
      await file.close();
      await unlink(childOf(directory.file, nameOf(key)));
      await directory.file.sync();
    });
  }

  async deleteBelow(prefix: string): Promise<void> {
    assertKey(prefix);
    await translated(WRITE_MS, async () => {
      await using above = await this.#directory(prefix);
      if (above === undefined) return;
      const path = childOf(above.file, nameOf(prefix));
      const directory = await openIfThere(path, DIRECTORY);
      if (directory === undefined) return;
      await directory.close();
      await removeTree(path);
      await above.file.sync();
    });
  }

  close(): void {}

  async #open(key: string): Promise<FileHandle | undefined> {
    await using directory = await this.#directory(key);
    // Awaited here: the directory is closed afterwards.
    return directory === undefined ? undefined : await openArtifact(childOf(directory.file, nameOf(key)));
  }

  /** The directory that holds a key; `undefined` if there is none. */
  async #directory(key: string): Promise<OpenDirectory | undefined> {
    let at = await openIfThere(this.#root, constants.O_RDONLY | constants.O_DIRECTORY);
    for (const name of directoriesOf(key)) {
      if (at === undefined) return undefined;
      await using above = closing(at);
      at = await openIfThere(childOf(above.file, name), DIRECTORY);
    }
    return at === undefined ? undefined : closing(at);
  }

  /** The directory that holds a key, made if it is missing, each one durably. */
  async #makeDirectory(key: string): Promise<OpenDirectory> {
    let at = await open(this.#root, constants.O_RDONLY | constants.O_DIRECTORY);
    for (const name of directoriesOf(key)) {
      await using above = closing(at);
      const path = childOf(above.file, name);
      const made = await mkdir(path, { mode: 0o700 }).then(
        () => true,
        (error: unknown) => {
          if (errnoOf(error) !== "EEXIST") throw error;
          return false;
        },
      );
      if (made) await above.file.sync();
      at = await open(path, DIRECTORY);
    }
    return closing(at);
  }
}

interface OpenDirectory extends AsyncDisposable {
  readonly file: FileHandle;
}

function closing(file: FileHandle): OpenDirectory {
  return { file, [Symbol.asyncDispose]: () => file.close() };
}

/** A path that leads to a name in this very directory, whatever is renamed around it. */
function childOf(directory: FileHandle, name: string): string {
  return `/proc/self/fd/${directory.fd}/${name}`;
}

function directoriesOf(key: string): string[] {
  return key.split("/").slice(0, -1);
}

function nameOf(key: string): string {
  return key.slice(key.lastIndexOf("/") + 1);
}

/** Make the place for what is being written, and clear it of what crashed. */
async function sweep(root: string): Promise<void> {
  const incoming = join(root, INCOMING);
  await mkdir(incoming, { recursive: true, mode: 0o700 });
  for (const name of await readdir(incoming)) {
    const path = join(incoming, name);
    const info = await stat(path).catch(() => undefined);
    if (info !== undefined && Date.now() - info.mtimeMs > ABANDONED_MS) await rm(path, { force: true });
  }
}

/** The regular file at a path; `undefined` for anything else. */
async function openArtifact(path: string): Promise<FileHandle | undefined> {
  const file = await openIfThere(path, ARTIFACT);
  if (file === undefined || (await file.stat()).isFile()) return file;
  await file.close();
  return undefined;
}

async function openIfThere(path: string, flags: number): Promise<FileHandle | undefined> {
  try {
    return await open(path, flags);
  } catch (error) {
    // ENXIO: a socket.
    if (["ENOENT", "ENOTDIR", "ELOOP", "ENXIO"].includes(errnoOf(error) ?? "")) return undefined;
    throw error;
  }
}

async function writeContent(path: string, content: ArtifactContent): Promise<void> {
  if ("file" in content) {
    await copyFile(content.file, path, constants.COPYFILE_FICLONE);
    await chmod(path, 0o600);
  }
  const file = await open(path, "a", 0o600);
  try {
    if ("bytes" in content) await file.appendFile(content.bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Run a call with a time limit, and translate what it throws. */
async function translated<T>(ms: number, call: () => Promise<T>): Promise<T> {
  try {
    return await inTime(call, ms, () => artifactsUnavailable(`did not answer within ${ms / 1000} s`, undefined));
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
    case "ELOOP":
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
