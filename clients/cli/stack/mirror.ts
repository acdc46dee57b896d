import { constants, copyFileSync, linkSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";

/** The files below a directory, or a file itself, in an order that is always the same. */
export function filesBelow(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path)
    .sort()
    .flatMap((name) => filesBelow(join(path, name)));
}

/** Copy a file or a directory; a file system that can shares the blocks until one of both is written. */
export function copyTree(from: string, to: string): void {
  mirror(from, to, (source, target) => copyFileSync(source, target, constants.COPYFILE_FICLONE));
}

/** The same by hard links if they can be had, for files that are replaced and never written in place. */
export function linkTree(from: string, to: string): void {
  mirror(from, to, (source, target) => {
    try {
      linkSync(source, target);
    } catch (error) {
      // Another file system, one without links, or files of another user.
      if (!["EXDEV", "EPERM", "ENOTSUP", "EMLINK", "EACCES"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
      copyFileSync(source, target, constants.COPYFILE_FICLONE);
    }
  });
}

function mirror(from: string, to: string, put: (source: string, target: string) => void): void {
  const made = new Set<string>();
  for (const source of filesBelow(from)) {
    const target = join(to, relative(from, source));
    const directory = dirname(target);
    if (!made.has(directory)) mkdirSync(directory, { recursive: true });
    made.add(directory);
    put(source, target);
  }
}
