import type { BytePath } from "../fs/byte-handle.ts";

/** Paths that belong to a workspace's tree though .gitignore excludes them, since what it was made from holds them. */
export class TrackedPaths {
  readonly #load: () => Promise<Iterable<BytePath>>;
  #sorted: Promise<readonly BytePath[]> | undefined;

  /** `load` is called once, and only if something ignored is met. */
  constructor(load: () => Promise<Iterable<BytePath>>) {
    this.#load = load;
  }

  /** This file is tracked. */
  async has(path: BytePath): Promise<boolean> {
    const sorted = await this.#paths();
    return sorted[firstFrom(sorted, path)] === path;
  }

  /** Something in this directory is tracked. */
  async hasBelow(path: BytePath): Promise<boolean> {
    const sorted = await this.#paths();
    const inside = `${path}/`;
    return sorted[firstFrom(sorted, inside)]?.startsWith(inside) === true;
  }

  #paths(): Promise<readonly BytePath[]> {
    this.#sorted ??= this.#load().then((paths) => [...paths].sort(byCode));
    return this.#sorted;
  }
}

/** Index of the first path that is not before `path`. */
function firstFrom(sorted: readonly BytePath[], path: BytePath): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? "") < path) low = middle + 1;
    else high = middle;
  }
  return low;
}

function byCode(a: BytePath, b: BytePath): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
