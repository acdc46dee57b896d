import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";

/** A Lua program that Redis runs as one step. */
export interface Script {
  readonly lua: string;
  readonly sha: string;
}

/** Scripts of the leaf store, which others may include. */
export const STORE_SCRIPTS = new URL("scripts/", import.meta.url);

/**
 * Load `<name>.lua` from the first of the directories that has it. Its first line may name the files that it shares functions with, as in
 * `-- include: log, index`, and so may theirs: all of them come before it, each once, with as much of them as is used. `header`: lines before all of these.
 */
export function loadScript(name: string, directories: readonly URL[] = [STORE_SCRIPTS], header = ""): Script {
  const included: string[] = [];
  const visited = new Set<string>();
  const visit = (lua: string): void => {
    for (const each of includesOf(lua)) {
      if (visited.has(each)) continue;
      visited.add(each);
      const library = read(each, directories);
      visit(library);
      included.push(library);
    }
  };
  const script = read(name, directories);
  visit(script);
  const lua = linked(`${header}\n${included.join("\n")}`, script);
  return { lua, sha: createHash("sha1").update(lua).digest("hex") };
}

function includesOf(lua: string): string[] {
  return /^-- include: (.+)\n/.exec(lua)?.[1]?.split(", ") ?? [];
}

/** What was read: most scripts include the same files. */
const files = new Map<string, string>();

function read(name: string, directories: readonly URL[]): string {
  const key = [name, ...directories].join("\n");
  const known = files.get(key);
  if (known !== undefined) return known;
  const file = directories.map((directory) => new URL(`${name}.lua`, directory)).find((url) => existsSync(url));
  if (file === undefined) throw new Error(`there is no Redis script ${name}.lua`);
  const lua = readFileSync(file, "utf8");
  files.set(key, lua);
  return lua;
}

/** A part of a library: a function or a constant, by its name, or statements that are always needed. */
interface Part {
  /** What in a script says that it uses this part; absent for statements. */
  readonly use?: RegExp;
  readonly lua: string;
}

/**
 * A script with what it uses of its library, and no more: Redis makes every function and table of a script again each time that it runs, which for
 * the whole library takes longer than most scripts do. A library's functions begin with `local function`, its constants with `local` and a name in
 * capitals, each at the beginning of a line. Functions are only ever called, never passed on.
 */
export function linked(library: string, script: string): string {
  const parts = partsOf(library);
  const needed = new Set<Part>(parts.filter(({ use }) => use === undefined));
  const look = [script, ...[...needed].map(({ lua }) => lua)];
  for (let lua = look.pop(); lua !== undefined; lua = look.pop()) {
    for (const part of parts) {
      if (needed.has(part) || part.use?.test(lua) !== true) continue;
      needed.add(part);
      look.push(part.lua);
    }
  }
  return parts
    .filter((part) => needed.has(part))
    .map(({ lua }) => lua)
    .concat(script)
    .join("\n");
}

function partsOf(library: string): Part[] {
  const parts: Part[] = [];
  const lines = library.split("\n").filter((line) => line !== "" && !line.startsWith("--"));
  for (let at = 0; at < lines.length; ) {
    const from = at++;
    const first = lines[from] ?? "";
    const [, name, constant] = /^local (?:function (\w+)|([A-Z_]+) =)/.exec(first) ?? [];
    if (name !== undefined && !first.endsWith(" end")) {
      while (lines[at] !== "end") if (at++ >= lines.length) throw new Error(`function ${name} of a library of scripts has no end`);
      at++;
    } else if (constant !== undefined) while (lines[at]?.startsWith(" ")) at++;
    const use = name === undefined ? constant && new RegExp(`\\b${constant}\\b`) : new RegExp(`(?<![.:\\w])${name}\\(`);
    parts.push({ lua: lines.slice(from, at).join("\n"), ...(use ? { use } : {}) });
  }
  return parts;
}
