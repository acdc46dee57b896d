import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/**
 * What `compute` makes of these files. It is computed again only if one of them, or this Node, has changed since: its
 * name, size, inode or times, among them the time of the inode's last change, which no program can set back. `memory`:
 * the file that remembers the result.
 */
export function remembered(memory: string, files: readonly string[], compute: () => string): string {
  const stamp = stampOf(files);
  const known = read(memory);
  if (known?.stamp === stamp) return known.id;
  const id = compute();
  // If a file was replaced meanwhile, its stamp differs the next time.
  write(memory, { stamp, id });
  return id;
}

interface Known {
  readonly stamp: string;
  readonly id: string;
}

function stampOf(files: readonly string[]): string {
  const hash = createHash("sha256").update(`${process.version} ${process.arch}\n`);
  for (const file of files) {
    const { size, ino, mtimeNs, ctimeNs } = statSync(file, { bigint: true });
    hash.update(`${file} ${size} ${ino} ${mtimeNs} ${ctimeNs}\n`);
  }
  return hash.digest("hex");
}

function read(memory: string): Known | undefined {
  try {
    const { stamp, id } = JSON.parse(readFileSync(memory, "utf8")) as Partial<Known>;
    return typeof stamp === "string" && typeof id === "string" ? { stamp, id } : undefined;
  } catch {
    // Never written, or damaged: compute it again.
    return undefined;
  }
}

function write(memory: string, known: Known): void {
  const draft = `${memory}.${process.pid}`;
  try {
    mkdirSync(dirname(memory), { recursive: true });
    writeFileSync(draft, JSON.stringify(known));
    renameSync(draft, memory);
  } catch {
    // In another user's checkout, or on a full disk, this costs time and nothing else.
    rmSync(draft, { force: true });
  }
}
