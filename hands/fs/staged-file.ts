import { type BigIntStats, constants, fstatSync, lstatSync } from "node:fs";
import { copyFile, type FileHandle, open, rm } from "node:fs/promises";
import type { Handle } from "@serverless-harness/kit/paths/handle";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";

/** Who owns a file, and what they may do with it. */
export interface Ownership {
  readonly uid: number;
  readonly gid: number;
  /** Permission bits; `undefined` leaves what the system chooses. */
  readonly mode: number | undefined;
}

const CHUNK_BYTES = 1024 * 1024;

/** A new file in a workspace's staging directory, about to be renamed into the workspace. Disposing removes it if it is still there. */
export class StagedFile implements AsyncDisposable {
  readonly path: string;
  readonly #file: FileHandle;

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  /** Make an empty one, readable by nobody else until {@link own}. */
  static async create(path: string): Promise<StagedFile> {
    return new StagedFile(path, await open(path, constants.O_CREAT | constants.O_EXCL | constants.O_RDWR | constants.O_APPEND, 0o600));
  }

  /** Make one with the content of `source`; shares its blocks if the file system can. */
  static async copy(source: Handle, path: string): Promise<StagedFile> {
    await copyFile(source.path, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    return new StagedFile(path, await open(path, constants.O_RDWR | constants.O_APPEND));
  }

  async append(data: Uint8Array | string): Promise<void> {
    await this.#file.appendFile(data);
  }

  async appendAll(other: StagedFile): Promise<void> {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    for (let position = 0; ; ) {
      const { bytesRead } = await other.#file.read(buffer, 0, CHUNK_BYTES, position);
      if (bytesRead === 0) return;
      await this.append(buffer.subarray(0, bytesRead));
      position += bytesRead;
    }
  }

  /** What it is now, wherever it has been renamed to. */
  stat(): BigIntStats {
    return fstatSync(this.#file.fd, { bigint: true });
  }

  /** Give it an owner, as far as this daemon may, and permissions. */
  async own({ uid, gid, mode }: Ownership): Promise<void> {
    const stat = this.stat();
    if (Number(stat.uid) !== uid || Number(stat.gid) !== gid) {
      await this.#file.chown(uid, gid).catch((error: unknown) => {
        if (errnoOf(error) !== "EPERM") throw error;
      });
    }
    // Last: a change of owner clears set-uid and set-gid.
    if (mode !== undefined) await this.#file.chmod(mode);
  }

  async sync(): Promise<void> {
    await this.#file.sync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
    await rm(this.path, { force: true });
  }
}

/** Owner of what is new in a directory: a daemon that runs as root leaves it to the user of the workspace. */
export function ownershipIn(directory: Handle, mode?: number): Ownership {
  const stat = directory.stat();
  const root = process.geteuid?.() === 0;
  const mine = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
  const inherited = { uid: Number(stat.uid), gid: Number(stat.gid) };
  return { ...(root ? inherited : mine), mode };
}

/** What is at a path now; `undefined` if nothing is. */
export function statNow(path: string | Buffer): BigIntStats | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false });
}
