import { mkdirSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { cacheDirectory } from "../../scripts/cache.ts";

/** What the type of a file system is if it is an overlay, as in most containers. The kernel makes no overlay over another one. */
const OVERLAY = 0x794c7630;

/** Where everything is that is kept between builds. Made if it is missing. */
export function makeCache(): string {
  const directory = join(cacheDirectory(), "images");
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return directory;
}

/** How layers are stored in a directory: mounted over each other, or if that can't be, each as a copy of the one below. */
export function storageDriver(directory: string): "overlay" | "vfs" {
  return statfsSync(directory).type === OVERLAY ? "vfs" : "overlay";
}
