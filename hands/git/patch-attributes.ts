import { TextDecoder } from "node:util";
import type { BytePath } from "../fs/byte-handle.ts";
import { readBlobs } from "./blob-reader.ts";
import type { ObjectStore } from "./object-store.ts";

/** Attributes by which a patch is ASCII, whatever the files are. */
export const ALL_BINARY = "* -diff\n";

/** A regular expression that matches no line: git cuts what it quotes of a function's head at 80 bytes, also within a character. */
export const NEVER = "^$x";

/** Attributes by which a patch between two trees is UTF-8: what is none comes in git's binary form, and no part of a line is quoted. */
export async function binaryWhereNeeded(
  store: ObjectStore,
  { before, after }: { readonly before: string; readonly after: string },
  signal: AbortSignal,
): Promise<string> {
  const paths = new Map<string, Set<BytePath>>();
  for (const change of await store.changes(before, after)) {
    for (const entry of [change.before, change.after]) {
      // A submodule's commit is not in the store.
      if (entry === undefined || !/^1[02]0/.test(entry.mode)) continue;
      paths.set(entry.oid, (paths.get(entry.oid) ?? new Set()).add(change.path));
    }
  }
  const oids = [...paths.keys()];
  const binary = new Set<BytePath>();
  let index = 0;
  for await (const { content } of readBlobs(store.git, store.gitDir, oids, signal)) {
    const oid = oids[index++] ?? "";
    if (!(await isText(Buffer.isBuffer(content) ? [content] : content))) for (const path of paths.get(oid) ?? []) binary.add(path);
  }
  return ["* diff=plain", ...[...binary].map((path) => `${quote(path)} -diff`), ""].join("\n");
}

async function isText(pieces: AsyncIterable<Buffer> | readonly Buffer[]): Promise<boolean> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let valid = true;
  // Read to the end in any case, as the next one comes after it.
  for await (const piece of pieces) valid &&= decodes(decoder, piece, true);
  return valid && decodes(decoder, Buffer.alloc(0), false);
}

function decodes(decoder: TextDecoder, piece: Buffer, stream: boolean): boolean {
  try {
    decoder.decode(piece, { stream });
    return true;
  } catch {
    // The decoder says no more than that.
    return false;
  }
}

/** A path as a pattern that nothing else matches. */
function quote(path: BytePath): string {
  const pattern = `/${path.replace(/[*?[\\]/g, "\\$&")}`;
  return `"${pattern.replace(/["\\]|[^ -~]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, "0")}`)}"`;
}
