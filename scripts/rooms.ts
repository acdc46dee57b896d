/**
 * Which part of the repository may import which. `rooms.json` has the rules, this file holds the code against them:
 * - `rooms`: a room, and what it may import of other rooms: all of one (`kit`), or one part of it (`hands/client`).
 * - `layers`: a room's folders and files from its top to its ground. Each may import what lies below it, nothing above
 *   or beside it. `.` is every file directly in the room that the table does not name.
 * Tests may import anything. Folders called `testing` are for tests, for other such folders and for the rooms in TEST_ROOMS.
 * Circles of single files are found by Biome (`noImportCycles`).
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { ROOT } from "./run.ts";

/** The table, as `rooms.json` has it. */
export interface Rooms {
  readonly rooms: Readonly<Record<string, readonly string[]>>;
  readonly layers: Readonly<Record<string, readonly (readonly string[])[]>>;
}

/** One import: the paths of two files, or of a file and a package's entry (`kit/errors`), from the checkout. */
export interface Import {
  readonly from: string;
  readonly to: string;
}

const TEST_ROOMS = ["bench", "scripts"];
const SCOPE = "@serverless-harness/";
/** Biome writes one import a statement, so a statement that starts a line is enough to look for. */
const IMPORT = /^(?:import|export)\b[^"';=]*?\bfrom "([^"]+)"|^import "([^"]+)"|\bimport\("([^"]+)"\)/gm;

const isTest = (file: string): boolean => /(^|\/)test\//.test(file);
const isTesting = (file: string): boolean => /(^|\/)testing(\/|$)/.test(file);
export const isWithin = (path: string, part: string): boolean => path === part || path.startsWith(`${part}/`);

/** The repository's own table. */
export function readRooms(): Rooms {
  return JSON.parse(readFileSync(join(ROOT, "rooms.json"), "utf8")) as Rooms;
}

/** Every import of one of our files by another, types included; not those of tests, generated code and the root's settings. */
export function readImports(): Import[] {
  const listed = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "*.ts", "*.mjs"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  const files = listed.split("\n").filter((file) => file.includes("/") && !isTest(file) && !file.includes("/gen/"));
  return files.flatMap((from) => importsOf(from, readIfThere(join(ROOT, from))));
}

/** A file that was removed and not committed yet is still listed, and imports nothing. */
function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

/** What a file with this text imports of ours: by a relative path, or by the name of one of our packages. */
export function importsOf(from: string, text: string): Import[] {
  return [...text.matchAll(IMPORT)].flatMap((match) => {
    const name = match[1] ?? match[2] ?? match[3] ?? "";
    if (name.startsWith(".")) return [{ from, to: normalize(join(dirname(from), name)) }];
    return name.startsWith(SCOPE) ? [{ from, to: name.slice(SCOPE.length).replace(/^cli\b/, "clients/cli") }] : [];
  });
}

/** What breaks the rules, one sentence each; empty if nothing does. */
export function findViolations(table: Rooms, imports: readonly Import[]): string[] {
  const found = imports.map(({ from, to }) => {
    const why = isTesting(to) && !isTesting(from) ? onTesting(from) : undefined;
    return { from, to, why: why ?? refusal(table, from, to) };
  });
  const refused = found.flatMap(({ from, to, why }) => (why === undefined ? [] : [`${from} imports ${to}: ${why}`]));
  return [...refused, ...unusedEntries(table, imports)];
}

function onTesting(from: string): string | undefined {
  return TEST_ROOMS.some((room) => isWithin(from, room)) ? undefined : "what is for tests is not for the product";
}

function refusal(table: Rooms, from: string, to: string): string | undefined {
  const room = roomOf(table, from);
  if (room === undefined) return `rooms.json has no room for ${from}`;
  const other = roomOf(table, to);
  if (other === room) return refusalInside(table, room, from, to);
  const allowed = table.rooms[room] ?? [];
  if (allowed.some((part) => isWithin(to, part))) return undefined;
  return `${room} may import ${allowed.join(", ") || "no other room"}`;
}

function refusalInside(table: Rooms, room: string, from: string, to: string): string | undefined {
  const layers = table.layers[room];
  if (layers === undefined) return undefined;
  const [upper, lower] = [placeOf(layers, room, from), placeOf(layers, room, to)];
  if (upper === undefined || lower === undefined) return `rooms.json has no layer of ${room} for ${upper === undefined ? from : to}`;
  if (upper.entry === lower.entry || upper.layer < lower.layer) return undefined;
  return upper.layer === lower.layer
    ? `${upper.entry} and ${lower.entry} are one layer of ${room}`
    : `${lower.entry} lies above ${upper.entry} in ${room}`;
}

export function roomOf(table: Rooms, path: string): string | undefined {
  return Object.keys(table.rooms).find((room) => isWithin(path, room));
}

/** The layer and the entry of it that a file of a room belongs to: the longest entry that holds it, else `.` for a file of the room itself. */
function placeOf(
  layers: Rooms["layers"][string],
  room: string,
  path: string,
): { readonly layer: number; readonly entry: string } | undefined {
  const inRoom = path.slice(room.length + 1);
  const places = layers.flatMap((entries, layer) => entries.map((entry) => ({ layer, entry })));
  const holding = places.filter(({ entry }) => isWithin(inRoom, entry)).toSorted((a, b) => b.entry.length - a.entry.length);
  return holding[0] ?? (inRoom.includes("/") ? undefined : places.find(({ entry }) => entry === "."));
}

/** An entry that no import touches is one that was moved or removed. */
function unusedEntries(table: Rooms, imports: readonly Import[]): string[] {
  const paths = [...new Set(imports.flatMap(({ from, to }) => [from, to]))];
  return Object.entries(table.layers).flatMap(([room, layers]) =>
    layers.flat().flatMap((entry) => {
      const used = entry === "." || paths.some((path) => isWithin(path, `${room}/${entry}`));
      return used ? [] : [`rooms.json names ${room}/${entry}, which imports nothing and is imported by nothing`];
    }),
  );
}
