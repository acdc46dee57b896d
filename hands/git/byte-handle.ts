import { type BigIntStats, constants, lstatSync, openSync } from "node:fs";
import { errnoOf } from "../files/fs-error.ts";
import { Handle } from "../files/handle.ts";
import type { BytePath } from "./tree-entries.ts";

/** Linux's O_PATH: see {@link Handle}. */
const O_PATH = 0o10000000;

/** A path that leads to a name in a directory, whatever that is called by then. For names that are bytes, as `Handle.child` is for text. */
export function childPath(directory: Handle, name: BytePath): Buffer {
  return Buffer.from(`${directory.path}/${name}`, "latin1");
}

/** A handle to the directory of that name; `undefined` where there is none, or something else, a symbolic link to one included. */
export function openChildDirectory(directory: Handle, name: BytePath): Handle | undefined {
  return open(directory, name, constants.O_DIRECTORY);
}

/** A handle to whatever has that name, to a symbolic link itself; `undefined` where nothing has. */
export function openChild(directory: Handle, name: BytePath): Handle | undefined {
  return open(directory, name, 0);
}

/** What has that name now, a symbolic link itself; `undefined` where nothing has. */
export function statChild(directory: Handle, name: BytePath): BigIntStats | undefined {
  return lstatSync(childPath(directory, name), { bigint: true, throwIfNoEntry: false });
}

function open(directory: Handle, name: BytePath, flags: number): Handle | undefined {
  try {
    return new Handle(openSync(childPath(directory, name), O_PATH | constants.O_NOFOLLOW | flags));
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR" || errno === "ELOOP") return undefined;
    throw error;
  }
}
