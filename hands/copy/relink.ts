import { posix } from "node:path";

/** Bytes as characters 0 to 255 each ("latin1"), since paths need not be UTF-8. */
type Bytes = string;

/** Files in a repository's own directory that are paths, one a line. */
const PATH_FILES: ReadonlySet<Bytes> = new Set(["gitdir", "commondir", "alternates"]);
/** Those in which paths stand among other things. */
const SETTINGS: ReadonlySet<Bytes> = new Set(["config", "config.worktree"]);

const GITFILE = "gitdir: ";

/**
 * Turns what leads into a workspace into what leads into its copy: by absolute paths, and by relative ones that go
 * out at the top and in again. Git writes absolute paths into worktrees, alternates and settings, so that a command
 * in a copy would work on the original.
 */
export class Relink {
  readonly #origin: Bytes;
  readonly #copy: Bytes;

  /** `origin` and `copy`: absolute directories, as commands see them. */
  constructor(origin: string, copy: string) {
    this.#origin = Buffer.from(origin).toString("latin1");
    this.#copy = Buffer.from(copy).toString("latin1");
  }

  /**
   * Where a path leads that is read in the directory `from` (below the workspace, without slashes around it; empty
   * for the workspace itself).
   */
  path(from: Bytes, path: Bytes): Bytes {
    if (path.startsWith("/")) {
      const inside = this.#inside(posix.normalize(path));
      return inside === undefined ? path : posix.join(this.#copy, inside);
    }
    if (!leavesTop(from, path)) return path;
    const inside = this.#inside(posix.join(this.#origin, from, path));
    return inside === undefined ? path : posix.relative(posix.join(this.#copy, from), posix.join(this.#copy, inside)) || ".";
  }

  /** An absolute path that leads elsewhere than into the workspace. */
  leadsOut(path: Bytes): boolean {
    return path.startsWith("/") && this.#inside(posix.normalize(path)) === undefined;
  }

  /** A file of a name in the directory `from` may hold paths of git's. `inRepository`: the directory is a repository's own, or in one. */
  concerns(name: Bytes, inRepository: boolean): boolean {
    return name === ".git" || (inRepository && (PATH_FILES.has(name) || SETTINGS.has(name)));
  }

  /** The content of a file that {@link concerns} git. */
  content(from: Bytes, name: Bytes, content: Bytes): Bytes {
    if (SETTINGS.has(name)) return this.#mentions(content);
    if (name === ".git" && !content.startsWith(GITFILE)) return content;
    const prefix = name === ".git" ? GITFILE : "";
    // Alternates are read from the directory of the objects, one above.
    const base = name === "alternates" ? posix.dirname(from) : from;
    const lines = content.slice(prefix.length).split("\n");
    return prefix + lines.map((line) => (line === "" ? "" : this.path(base, line))).join("\n");
  }

  /** A text with the copy's path wherever it has the original's, but not the beginning of a longer name. */
  #mentions(text: Bytes): Bytes {
    const [first = "", ...others] = text.split(this.#origin);
    return first + others.map((part) => (/^[A-Za-z0-9._-]/.test(part) ? this.#origin : this.#copy) + part).join("");
  }

  /** The part of an absolute path below the original; `undefined` if it is elsewhere. */
  #inside(path: Bytes): Bytes | undefined {
    if (path === this.#origin) return "";
    return path.startsWith(`${this.#origin}/`) ? path.slice(this.#origin.length + 1) : undefined;
  }
}

/** On its way a relative path is above the workspace for a while. */
function leavesTop(from: Bytes, path: Bytes): boolean {
  let depth = from === "" ? 0 : from.split("/").length;
  for (const name of path.split("/")) {
    if (name === "..") depth -= 1;
    else if (name !== "" && name !== ".") depth += 1;
    if (depth < 0) return true;
  }
  return false;
}
