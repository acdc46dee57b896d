/** Draws the rooms of `rooms.json`, with the imports that the code really has, into `docs/architecture.md`. `npm run generate` runs it. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Import, isWithin, type Rooms, readImports, readRooms, roomOf } from "./rooms.ts";
import { ROOT } from "./run.ts";

export const PAGE = join(ROOT, "docs/architecture.md");
const DRAWING = /(?<=<!-- drawn by scripts\/architecture\.ts -->\n)[\s\S]*(?=<!-- end of the drawing -->)/;

/** The page with its drawing made again. */
export function withDrawing(page: string, table: Rooms, imports: readonly Import[]): string {
  if (!DRAWING.test(page)) throw new Error("docs/architecture.md has lost the two comments around its drawing");
  return page.replace(DRAWING, () => `\n${rooms(table, imports)}\n${layers(table)}`);
}

/** One arrow for each room, or public part of one, that a room imports. */
function rooms(table: Rooms, imports: readonly Import[]): string {
  const names = Object.keys(table.rooms);
  const arrows = new Set<string>();
  for (const { from, to } of imports) {
    const [upper, lower] = [roomOf(table, from), roomOf(table, to)];
    if (upper === undefined || lower === undefined || upper === lower) continue;
    const part = table.rooms[upper]?.filter((allowed) => isWithin(to, allowed)).toSorted((a, b) => b.length - a.length)[0];
    const label = part === undefined || part === lower ? "" : `|${part.slice(lower.length + 1)}|`;
    arrows.add(`  ${idOf(upper)} -->${label} ${idOf(lower)}`);
  }
  const nodes = names.toReversed().map((name) => `  ${idOf(name)}["${name}"]`);
  return ["```mermaid", "flowchart TD", ...nodes, ...[...arrows].sort(), "```", ""].join("\n");
}

/** A room's folders, from its top to its ground. */
function layers({ layers: table }: Rooms): string {
  const rows = Object.entries(table).map(([room, list]) => {
    const floors = list.map((entries) => entries.map((entry) => (entry === "." ? "its own files" : `\`${entry}\``)).join(", "));
    return `**${room}**\n\n${floors.map((floor, i) => `${i + 1}. ${floor}`).join("\n")}\n`;
  });
  return rows.join("\n");
}

function idOf(room: string): string {
  return room.replaceAll(/\W/g, "_");
}

if (import.meta.main) writeFileSync(PAGE, withDrawing(readFileSync(PAGE, "utf8"), readRooms(), readImports()));
