import { createHash } from "node:crypto";
import type { BytePath } from "../fs/byte-names.ts";
import type { ReadEntry } from "./content-reader.ts";
import type { ScannedRepositories } from "./repository-scan.ts";
import type { Scanned } from "./scan.ts";

/**
 * What of a workspace no tree of git's can hold: repositories' own directories, directories without files,
 * permissions. A snapshot has it as a second tree, in which every name has a sign before it, so that none means
 * anything to git, and {@link ATTRIBUTES} as a file.
 */
const SIGN = "_";

/** Name of the file with {@link Attributes}. */
export const ATTRIBUTES = "attributes";

export interface Attributes {
  /** Directories without anything that counts. */
  readonly empty: ReadonlyMap<BytePath, number>;
  /** Files and other directories whose permissions are not what git makes. */
  readonly modes: ReadonlyMap<BytePath, number>;
}

/** Entries as the tree has them. */
export function toStored<E>(entries: ReadonlyMap<BytePath, E>): Map<BytePath, E> {
  return new Map([...entries].map(([path, entry]) => [SIGN + path.replaceAll("/", `/${SIGN}`), entry]));
}

/** Entries of a workspace, from those that {@link toStored} made. What has no sign is left out. */
export function fromStored<E>(entries: ReadonlyMap<BytePath, E>): Map<BytePath, E> {
  const found = new Map<BytePath, E>();
  for (const [path, entry] of entries) {
    const names = path.split("/");
    if (names.every((name) => name.startsWith(SIGN))) found.set(names.map((name) => name.slice(SIGN.length)).join("/"), entry);
  }
  return found;
}

/** The file's content, and its entry. */
export function formatAttributes(scanned: Scanned, repositories: ScannedRepositories): { content: Buffer; entry: ReadEntry } {
  const empty = [...scanned.empty, ...repositories.empty];
  const content = Buffer.from(JSON.stringify({ version: 1, empty: empty.sort(byPath), modes: [...scanned.modes].sort(byPath) }));
  const oid = createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
  return { content, entry: { mode: "100644", oid, size: content.length, tag: "" } };
}

/** Read the file; `undefined` if it is none. */
export function parseAttributes(text: string): Attributes | undefined {
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null || !("empty" in value) || !("modes" in value)) return undefined;
  const [empty, modes] = [parseModes(value.empty), parseModes(value.modes)];
  return empty === undefined || modes === undefined ? undefined : { empty, modes };
}

function parseModes(value: unknown): Map<BytePath, number> | undefined {
  if (!Array.isArray(value)) return undefined;
  const modes = new Map<BytePath, number>();
  for (const pair of value as unknown[]) {
    if (!Array.isArray(pair) || typeof pair[0] !== "string" || !Number.isSafeInteger(pair[1]) || !isInside(pair[0])) return undefined;
    modes.set(pair[0], Number(pair[1]) & 0o7777);
  }
  return modes;
}

/** Every name leads one step down. */
function isInside(path: BytePath): boolean {
  return path.split("/").every((name) => name !== "" && name !== "." && name !== ".." && !name.includes("\0"));
}

function byPath([a]: readonly [BytePath, number], [b]: readonly [BytePath, number]): number {
  return a < b ? -1 : 1;
}
