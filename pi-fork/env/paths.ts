import { isAbsolute, resolve } from "node:path/posix";
import { fileURLToPath } from "node:url";
import { FileError } from "@earendil-works/pi-agent-core";

/**
 * The absolute path that a tool means: relative ones start at the workspace. Symlinks are not resolved, and the path need not exist.
 * Throws a {@link FileError} for the home directory, which is no part of a workspace.
 */
export function resolvePath(cwd: string, path: string): string {
  const plain = withoutScheme(path);
  if (plain === "~" || plain.startsWith("~/")) {
    throw new FileError("permission_denied", `${path} is outside of the working directory ${cwd}: only files below it are in reach`, plain);
  }
  return isAbsolute(plain) ? resolve(plain) : resolve(cwd, plain);
}

function withoutScheme(path: string): string {
  if (!path.startsWith("file://")) return path;
  try {
    return fileURLToPath(path);
  } catch {
    // A malformed URL stays an ordinary path, which then does not exist.
    return path;
  }
}
