import { type BigIntStats, closeSync, constants, fstatSync, openSync } from "node:fs";
import { pathBytes } from "./shown-name.ts";

/** Linux's O_PATH, which Node doesn't name: a handle to an inode itself. It never blocks, whatever is behind the name, and has no side effects. */
const O_PATH = 0o10000000;

/**
 * An open descriptor that stands for one inode, whatever is renamed or replaced around it. Node has no `openat`, but the kernel resolves
 * `/proc/self/fd/N/name` from the very directory behind N. Dispose it.
 */
export class Handle implements Disposable {
  readonly fd: number;
  #open = true;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** A path that leads to this inode, for calls that want a path. */
  get path(): string {
    return `/proc/self/fd/${this.fd}`;
  }

  /** A path that leads to a name in this directory, given as it is shown. For names that are bytes: `childPath`. */
  child(name: string): string | Buffer {
    return pathBytes(`${this.path}/${name}`);
  }

  /** What the handle stands for. */
  stat(): BigIntStats {
    return fstatSync(this.fd, { bigint: true });
  }

  [Symbol.dispose](): void {
    if (this.#open) closeSync(this.fd);
    this.#open = false;
  }
}

/** Tells one inode from all others that there are now, also if it is reached by another mount. */
export function inodeKey({ dev, ino }: BigIntStats): string {
  return `${dev}:${ino}`;
}

/** A handle to what is at `path`; at a symlink itself, not at its target. Throws as open(2). */
export function openInode(path: string | Buffer): Handle {
  return new Handle(openSync(path, O_PATH | constants.O_NOFOLLOW));
}

/** A handle to the directory at `path`; ENOTDIR if it is something else, a symlink included. */
export function openDirectory(path: string | Buffer): Handle {
  return new Handle(openSync(path, O_PATH | constants.O_NOFOLLOW | constants.O_DIRECTORY));
}
