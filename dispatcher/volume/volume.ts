import { randomBytes } from "node:crypto";
import { constants, mkdirSync, renameSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { posix } from "node:path";
import { type Handle, openDirectory } from "@serverless-harness/kit/paths/handle";
import { type Location, locate, type Root } from "@serverless-harness/kit/paths/locate";
import { errnoOf, pathError } from "@serverless-harness/kit/paths/path-error";
import { isName } from "@serverless-harness/kit/validate";
import { DEFAULT_TENANT } from "../callers/caller.ts";

/** A place in the volume for a file. */
type Place = Location & { readonly parent: Handle };

/**
 * The directory that dispatchers share with whoever gives them work. All paths are absolute, as those people write them, and are walked by handles: whatever
 * is renamed or replaced by links meanwhile, none leads out. Throws PERMISSION_DENIED `path_outside` for one that does, and what `kit/paths` throws.
 */
export class Volume {
  readonly #root: Root;

  /** `path`: as callers write it. `at`: where it is, without links. */
  constructor(path: string, at: string) {
    this.#root = { path: path.replace(/\/+$/, ""), at };
  }

  /** The part that a tenant's leaves may use: all of it for those of the tenant `default`, for any other the directory of the tenant's name, which is made. */
  of(tenant: string): Volume {
    if (tenant === DEFAULT_TENANT) return this;
    if (!isName(tenant)) throw pathError("path_outside", tenant);
    const { path, at = path } = this.#root;
    mkdirSync(`${at}/${tenant}`, { recursive: true });
    return new Volume(`${path}/${tenant}`, `${at}/${tenant}`);
  }

  /** The path without dots. PERMISSION_DENIED `path_outside` where it is none of the volume. */
  inside(path: string): string {
    const plain = posix.normalize(path);
    if (!path.includes("\0") && plain.startsWith(`${this.#root.path}/`) && !plain.endsWith("/")) return plain;
    throw pathError("path_outside", path);
  }

  /** The path leads to a place inside of the volume, whether or not there is something. Throws where it does not. */
  require(path: string): void {
    locate([this.#root], this.inside(path), { follow: true })[Symbol.dispose]();
  }

  /** A file's content, or `undefined` where there is none. RESOURCE_EXHAUSTED `file_too_large` beyond `maxBytes`. */
  async read(path: string, maxBytes: number): Promise<Buffer | undefined> {
    using found = locate([this.#root], this.inside(path), { follow: true });
    if (found.entry === undefined) return undefined;
    const stat = found.entry.stat();
    if (stat.isDirectory()) throw pathError("is_directory", path);
    if (!stat.isFile()) throw pathError("not_a_file", path);
    if (stat.size > BigInt(maxBytes)) throw pathError("file_too_large", path);
    await using file = await open(found.entry.path, constants.O_RDONLY);
    const { bytesRead, buffer } = await file.read({ buffer: Buffer.alloc(maxBytes + 1), position: 0 });
    if (bytesRead > maxBytes) throw pathError("file_too_large", path);
    return buffer.subarray(0, bytesRead);
  }

  /**
   * Make a file that holds this, by one rename: whoever looks sees the old content or all of the new. Durable when it resolves, with the directories above
   * it, which are made. A file that holds this already stays as it is.
   */
  async write(path: string, content: string): Promise<void> {
    const bytes = Buffer.from(content);
    if ((await this.#readIfAny(path, bytes.length))?.equals(bytes)) return;
    using place = this.#place(path);
    using directory = madeDirectory(place);
    const name = place.missing.at(-1) ?? place.name;
    const temporary = directory.child(`.${randomBytes(9).toString("hex")}.tmp`);
    try {
      await using file = await open(temporary, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o644);
      await file.writeFile(bytes);
      await file.sync();
      renameSync(temporary, directory.child(name));
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
    await syncDirectory(directory);
  }

  /** What is there is compared only: something else, or something larger, is replaced. */
  async #readIfAny(path: string, bytes: number): Promise<Buffer | undefined> {
    return this.read(path, bytes).catch(() => undefined);
  }

  #place(path: string): Place {
    const location = locate([this.#root], this.inside(path), { follow: true });
    const { parent, entry } = location;
    if (parent !== undefined && entry?.stat().isDirectory() !== true) return Object.assign(location, { parent });
    location[Symbol.dispose]();
    throw pathError("is_directory", path);
  }
}

/** The directory that a place is in; what is missing of the way to it is made, each one durable in the one above. */
function madeDirectory({ parent, missing }: Place): Handle {
  let directory = openDirectory(`${parent.path}/.`);
  for (const name of missing.slice(0, -1)) {
    try {
      mkdirSync(directory.child(name));
    } catch (error) {
      // Another one has made it.
      if (errnoOf(error) !== "EEXIST") throw error;
    }
    const above = directory;
    directory = openDirectory(above.child(name));
    above[Symbol.dispose]();
  }
  return directory;
}

async function syncDirectory(directory: Handle): Promise<void> {
  await using handle = await open(directory.path, constants.O_RDONLY);
  await handle.sync();
}
