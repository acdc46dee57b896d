import { isAbsolute, resolve } from "node:path/posix";
import { fileURLToPath } from "node:url";

/**
 * The absolute path that a tool means: relative ones start at the workspace. `~` is the workspace as well: the only home that a
 * command in the sandbox can count on. Symlinks are not resolved, and the path need not exist.
 */
export function resolvePath(cwd: string, path: string): string {
  const plain = withoutScheme(path);
  if (plain === "~") return cwd;
  if (plain.startsWith("~/")) return resolve(cwd, plain.slice(2));
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
