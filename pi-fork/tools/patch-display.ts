interface Hunk {
  readonly oldStart: number;
  readonly newStart: number;
  readonly lines: readonly string[];
}

const HEADER = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@/;

/** A unified patch as Pi's edit tool shows changes: every line with its number, ` ...` if lines are left out before it. */
export function displayPatch(patch: string): string {
  const hunks = parseHunks(patch);
  const last = hunks.at(-1);
  const width = String(last === undefined ? 0 : Math.max(last.oldStart, last.newStart) + last.lines.length).length;
  const output: string[] = [];
  let shownTo = 0;
  for (const hunk of hunks) {
    if (hunk.oldStart > shownTo + 1) output.push(` ${" ".repeat(width)} ...`);
    shownTo = showHunk(hunk, width, output);
  }
  return output.join("\n");
}

/** Show one hunk; returns the number of its last line in the old file. */
function showHunk(hunk: Hunk, width: number, output: string[]): number {
  let oldLine = hunk.oldStart;
  let newLine = hunk.newStart;
  for (const line of hunk.lines) {
    const mark = line.charAt(0);
    const number = mark === "+" ? newLine : oldLine;
    if (mark !== "+") oldLine++;
    if (mark !== "-") newLine++;
    output.push(`${mark}${String(number).padStart(width)} ${line.slice(1).replace(/\r$/, "")}`);
  }
  return oldLine - 1;
}

function parseHunks(patch: string): Hunk[] {
  const hunks: Array<Hunk & { lines: string[] }> = [];
  for (const line of patch.split("\n")) {
    const header = HEADER.exec(line);
    if (header !== null) hunks.push({ oldStart: start(header[1], header[2]), newStart: start(header[3], header[4]), lines: [] });
    else if (/^[ +-]/.test(line)) hunks.at(-1)?.lines.push(line);
  }
  return hunks;
}

/** A range without lines names the line before it. */
function start(line: string | undefined, length: string | undefined): number {
  return Number(line) + (length === "0" ? 1 : 0);
}
