/** A part of a library: a function, by its name, or statements that are always needed. */
interface Part {
  readonly name: string | undefined;
  readonly lua: string;
}

/**
 * A script with what it uses of its library, and no more: Redis makes every function of a script anew each time that it runs, which for the whole
 * library takes longer than most scripts do. Functions of a library begin with `local function` and end with `end`, each at the beginning of a line
 * (or on one line), and are used under their own names.
 */
export function linked(library: string, script: string): string {
  const parts = partsOf(library);
  const needed = new Set<Part>(parts.filter((part) => part.name === undefined));
  const look = [script, ...[...needed].map((part) => part.lua)];
  for (let lua = look.pop(); lua !== undefined; lua = look.pop()) {
    const words = new Set(lua.match(/\w+/g));
    for (const part of parts) {
      if (part.name === undefined || !words.has(part.name) || needed.has(part)) continue;
      needed.add(part);
      look.push(part.lua);
    }
  }
  return parts
    .filter((part) => needed.has(part))
    .map((part) => part.lua)
    .concat(script)
    .join("\n");
}

function partsOf(library: string): Part[] {
  const parts: Part[] = [];
  let open: { name: string; lines: string[] } | undefined;
  for (const line of library.split("\n")) {
    if (line === "" || line.startsWith("--")) continue;
    const name = /^local function (\w+)/.exec(line)?.[1];
    if (name !== undefined) open = { name, lines: [] };
    if (open === undefined) {
      parts.push({ name: undefined, lua: line });
      continue;
    }
    open.lines.push(line);
    if (line !== "end" && !(name !== undefined && line.endsWith(" end"))) continue;
    parts.push({ name: open.name, lua: open.lines.join("\n") });
    open = undefined;
  }
  if (open !== undefined) throw new Error(`function ${open.name} of a library of scripts has no end`);
  return parts;
}
