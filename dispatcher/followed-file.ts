import { statSync } from "node:fs";
import type { Logger } from "@serverless-harness/kit/log";

/** What {@link FollowedFile} needs. */
export interface FollowedFileOptions<T> {
  readonly path: string;
  /** Read the file. Throws if it can't be used. */
  readonly read: (path: string) => T;
  /** What the file is of, for the log, as `limits`. */
  readonly of: string;
  /** What the log says of its content. */
  readonly summary: (content: T) => Readonly<Record<string, unknown>>;
  readonly log: Logger;
}

/** An operator's file that may change while the process runs. One that can't be used any more is logged, and what it said before goes on. */
export class FollowedFile<T> {
  readonly #options: FollowedFileOptions<T>;
  #version: string;
  #content: T;

  /** Throws what `read` throws. */
  constructor(options: FollowedFileOptions<T>) {
    const { path, read } = options;
    this.#options = options;
    this.#version = versionOf(path);
    this.#content = read(path);
  }

  get content(): T {
    return this.#content;
  }

  /** Read it again if it changed. True if what it says now is used from now on. */
  look(): boolean {
    const { path, read, of, summary, log } = this.#options;
    const version = versionOf(path);
    if (version === this.#version) return false;
    this.#version = version;
    try {
      this.#content = read(path);
    } catch (error) {
      log.error({ err: error }, `the changed file of ${of} can't be used: what it said before goes on`);
      return false;
    }
    log.info(summary(this.#content), `the changed file of ${of} is used`);
    return true;
  }
}

/** Changes whenever the file does, also if it is a link to another one, as Kubernetes has it. */
function versionOf(path: string): string {
  const file = statSync(path, { throwIfNoEntry: false });
  return file === undefined ? "" : `${file.dev}:${file.ino}:${file.size}:${file.mtimeMs}:${file.ctimeMs}`;
}
