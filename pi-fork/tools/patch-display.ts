interface Hunk {
  readonly oldStart: number;
  readonly newStart: number;
  readonly lines: readonly string[];
}

const HEADER = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@/;

/**
 * A unified patch as Pi's edit tool shows it: every line with its number, context around the changes, ` ...` where lines are left
 * out. `newLineCount` is the number of lines of the file now, as `split("\n")` counts them.
 */
export function displayPatch(patch: string, newLineCount: number): string {
  const hunks = parseHunks(patch);
  const lines = hunks.flatMap((hunk) => hunk.lines);
  const oldLineCount = newLineCount - count(lines, "+") + count(lines, "-");
  const width = String(Math.max(oldLineCount, newLineCount)).length;
  const output: string[] = [];
  let shownTo = 0;
  for (const hunk of hunks) {
    if (hunk.oldStart > shownTo + 1) output.push(ellipsis(width));
    shownTo = showHunk(hunk, width, output);
  }
  // A final newline makes one line more than there is text in.
  if (oldLineCount - 1 > shownTo) output.push(ellipsis(width));
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
    output.push(`${mark}${String(number).padStart(width)} ${line.slice(1)}`);
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

function count(lines: readonly string[], mark: string): number {
  return lines.filter((line) => line.startsWith(mark)).length;
}

function ellipsis(width: number): string {
  return ` ${" ".repeat(width)} ...`;
}
