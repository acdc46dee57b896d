/** A part of a library: a function or a constant, by its name, or statements that are always needed. */
interface Part {
  /** What in a script says that it uses this part; absent for statements. */
  readonly use?: RegExp;
  readonly lua: string;
}

/**
 * A script with what it uses of its library, and no more: Redis makes every function and table of a script anew each time that it runs, which for
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
