import { type BigIntStats, constants, lstatSync, opendirSync, openSync } from "node:fs";
import { Handle } from "@serverless-harness/kit/paths/handle";
import { errnoOf, translateError } from "@serverless-harness/kit/paths/path-error";
import { pathBytes, shownBytes, shownText } from "@serverless-harness/kit/paths/shown-name";

/** A name in a directory: its bytes as characters 0 to 255 each ("latin1"), since names need not be UTF-8. */
export type ByteName = string;

/** A path below a tree's root, of such names joined by slashes. */
export type BytePath = string;

const ASCII = /^[\0-\x7f]*$/;

/** Linux's O_PATH: see {@link Handle}. */
const O_PATH = 0o10000000;

/** How a name, or a path, is shown. */
export function shownName(name: BytePath): string {
  return ASCII.test(name) ? shownText(name) : shownBytes(Buffer.from(name, "latin1"));
}

/** The bytes of a name, or of a path, that is shown. */
export function byteName(shown: string): BytePath {
  const path = pathBytes(shown);
  return (typeof path === "string" ? Buffer.from(path) : path).toString("latin1");
}

/** The name of a repository's own directory (or of the file that stands for one), in any case, as git refuses it. */
export function isRepository(name: ByteName): boolean {
  return name.length === 4 && name.toLowerCase() === ".git";
}

/** Make a call about a path: what it throws becomes the error that tells a client what is wrong with the path. */
export function aboutEntry<T>(path: BytePath, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw translateError(error, shownName(path));
  }
}

/**
 * A path that leads to a name in a directory, whatever that is called by then. For names that are bytes, as
 * `Handle.child` is for shown ones.
 */
export function childPath(directory: Handle, name: ByteName): Buffer {
  return Buffer.from(`${directory.path}/${name}`, "latin1");
}

/** A handle to the directory of that name; `undefined` if there is none, or something else, a symbolic link to one included. */
export function openChildDirectory(directory: Handle, name: ByteName): Handle | undefined {
  return open(directory, name, constants.O_DIRECTORY);
}

/** A handle to whatever has that name, to a symbolic link itself; `undefined` if nothing has. */
export function openChild(directory: Handle, name: ByteName): Handle | undefined {
  return open(directory, name, 0);
}

/** What has that name now, a symbolic link itself; `undefined` if nothing has. */
export function statChild(directory: Handle, name: ByteName): BigIntStats | undefined {
  return lstatSync(childPath(directory, name), { bigint: true, throwIfNoEntry: false });
}

/** The names in a directory, one after the other, as it is read. */
export function* namesIn(directory: Handle): Generator<ByteName> {
  const listing = opendirSync(directory.path, { encoding: "latin1", bufferSize: 256 });
  try {
    for (let entry = listing.readSync(); entry !== null; entry = listing.readSync()) yield entry.name;
  } finally {
    listing.closeSync();
  }
}

function open(directory: Handle, name: ByteName, flags: number): Handle | undefined {
  try {
    return new Handle(openSync(childPath(directory, name), O_PATH | constants.O_NOFOLLOW | flags));
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR" || errno === "ELOOP") return undefined;
    throw error;
  }
}
