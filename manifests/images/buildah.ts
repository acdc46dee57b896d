import { join } from "node:path";
import { run } from "../../scripts/run.ts";
import { storageDriver } from "./config.ts";

/**
 * When all files of an image were made, to their names: 1980, the first year that zip knows, in seconds since 1970. Neither the clock nor the commit
 * may be told by an image's digest.
 */
export const TIMESTAMP = 315_532_800;

/** Thrown if a program that builds images failed. */
export class BuildError extends Error {
  override readonly name = "BuildError";
}

/** Run a program to its end and return what it wrote. Throws a {@link BuildError} with the last lines of it if it fails. */
export async function demand(command: string, args: readonly string[]): Promise<string> {
  const { code, output } = await run(command, args);
  if (code === 0) return output;
  throw new BuildError(`${command} failed with exit code ${code}:\n${output.trimEnd().split("\n").slice(-25).join("\n")}`);
}

/** What `buildah bud` is told. */
export interface Build {
  readonly containerfile: string;
  readonly target: string | undefined;
  readonly reference: string;
  readonly arguments: Readonly<Record<string, string>>;
  /** Nothing of an earlier build is used again. */
  readonly isFresh: boolean;
}

/** buildah with a storage of its own. It needs no daemon, and leaves nothing mounted. */
export class Buildah {
  readonly #options: readonly string[];

  constructor(cache: string) {
    const driver = storageDriver(cache);
    this.#options = ["--root", join(cache, driver), "--runroot", join(cache, `${driver}-run`), "--storage-driver", driver];
  }

  async build(build: Build): Promise<void> {
    await this.#run("bud", [
      ...["--isolation", "chroot", "--pull-never", "--layers", "--timestamp", String(TIMESTAMP)],
      ...(build.isFresh ? ["--no-cache"] : []),
      ...Object.entries(build.arguments).flatMap(([name, value]) => ["--build-arg", `${name}=${value}`]),
      ...(build.target === undefined ? [] : ["--target", build.target]),
      ...["--tag", build.reference, "--file", build.containerfile, "."],
    ]);
  }

  /** Make an image of a root directory that is packed in `archive`. */
  async import(archive: string, reference: string): Promise<void> {
    await this.#withContainer("scratch", async (container) => {
      await this.#run("add", [container, archive, "/"]);
      await this.#run("commit", ["--timestamp", String(TIMESTAMP), container, reference]);
    });
  }

  async has(reference: string): Promise<boolean> {
    return (await run("buildah", [...this.#options, "inspect", "--type", "image", reference])).code === 0;
  }

  /** Write an image into a file, as an archive by the Open Container Initiative with the image's reference in it. */
  async export(reference: string, archive: string): Promise<void> {
    await this.#run("push", [reference, `oci-archive:${archive}:${reference}`]);
  }

  /** Have `use` work with the files of an image; what it changes there is forgotten. */
  async withRoot<T>(reference: string, use: (root: string) => Promise<T>): Promise<T> {
    return this.#withContainer(reference, async (container) => {
      const root = lastLine(await this.#run("mount", [container]));
      try {
        return await use(root);
      } finally {
        await this.#run("umount", [container]);
      }
    });
  }

  async #withContainer<T>(reference: string, use: (container: string) => Promise<T>): Promise<T> {
    const container = lastLine(await this.#run("from", ["--pull-never", reference]));
    try {
      return await use(container);
    } finally {
      await this.#run("rm", [container]);
    }
  }

  async #run(command: string, args: readonly string[]): Promise<string> {
    return demand("buildah", [...this.#options, command, ...args]);
  }
}

function lastLine(output: string): string {
  return output.trimEnd().split("\n").at(-1) ?? "";
}
