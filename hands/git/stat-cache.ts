import { readFile, rename, writeFile } from "node:fs/promises";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import type { BytePath } from "../fs/byte-names.ts";
import { Pacer } from "../fs/pacer.ts";
import type { ReadEntry } from "./content-reader.ts";
import { EMPTY_TREE, type EntryMode, type TreeEntries } from "./tree-entries.ts";

/** What the last scan found, and the tree that was made of it. */
export interface ScannedTree {
  readonly tree: string;
  readonly entries: TreeEntries<ReadEntry>;
}

export const NOTHING_SCANNED: ScannedTree = { tree: EMPTY_TREE, entries: new Map() };

const FORMAT = "tree-cache 1";
const END = "end";
/** Records that are written at once. */
const BATCH = 2000;

/**
 * Remember a scan in a file. A cache: it may be lost, but is never half there (its last record tells), so a file that a crash spoilt is
 * no cache.
 */
export async function saveScan(path: string, scanned: ScannedTree): Promise<void> {
  const pacer = new Pacer();
  const parts = [`${FORMAT}\n${scanned.tree}\0`];
  let batch: string[] = [];
  for (const [entryPath, { mode, oid, size, tag }] of scanned.entries) {
    batch.push(`${mode} ${oid} ${size} ${tag}\t${entryPath}\0`);
    if (batch.length < BATCH) continue;
    parts.push(batch.join(""));
    batch = [];
    if (pacer.due) await pacer.rest();
  }
  const content = `${parts.join("")}${batch.join("")}${END} ${scanned.entries.size}\0`;
  await writeFile(`${path}.new`, content, { encoding: "latin1", mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** The scan that was remembered; {@link NOTHING_SCANNED} if there is none that can be read. */
export async function loadScan(path: string): Promise<ScannedTree> {
  const content = await readText(path);
  const head = content.indexOf("\0");
  const [format, tree] = content.slice(0, Math.max(head, 0)).split("\n");
  if (format !== FORMAT || tree === undefined) return NOTHING_SCANNED;
  const pacer = new Pacer();
  const entries = new Map<BytePath, ReadEntry>();
  let end = "";
  for (let from = head + 1; from < content.length; ) {
    if (pacer.due) await pacer.rest();
    const to = content.indexOf("\0", from);
    if (to === -1) return NOTHING_SCANNED;
    end = content.slice(from, to);
    const tab = end.indexOf("\t");
    if (tab !== -1) entries.set(end.slice(tab + 1), parseEntry(end.slice(0, tab)));
    from = to + 1;
  }
  return end === `${END} ${entries.size}` ? { tree, entries } : NOTHING_SCANNED;
}

function parseEntry(fields: string): ReadEntry {
  const [mode = "", oid = "", size = "", tag = ""] = fields.split(" ");
  return { mode: mode as EntryMode, oid, size: Number(size), tag };
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "latin1");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return "";
    throw error;
  }
}
