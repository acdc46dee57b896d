import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Files of the tree that is searched. */
export const TREE_FILES = 1000;

/** Lines of the tree that match {@link PATTERN}. */
export const MATCHES = 10;
export const PATTERN = "needle";

const DIRECTORIES = 20;
const LINE = "the quick brown fox jumps over the lazy dog, line after line\n";

/** A text of one kilobyte. */
export const KILOBYTE = LINE.repeat(17).slice(0, 1023).concat("\n");

/** Make a tree of a thousand files of a kilobyte, some with a line that matches. */
export async function makeTree(directory: string): Promise<void> {
  for (let i = 0; i < DIRECTORIES; i++) await mkdir(join(directory, `d${i}`), { recursive: true });
  for (let i = 0; i < TREE_FILES; i++) {
    const isMatch = i % (TREE_FILES / MATCHES) === 0;
    await writeFile(join(directory, `d${i % DIRECTORIES}`, `file${i}.txt`), isMatch ? `${KILOBYTE}a ${PATTERN} in a haystack\n` : KILOBYTE);
  }
}
