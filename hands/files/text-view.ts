/** A text as it is compared, and where each of its characters is in the original. Lines stay lines. */
export interface TextView {
  readonly text: string;
  /** Offset in the original of a character of {@link text}, or of its end. */
  original(offset: number): number;
}

/** How a line, without its newline, is compared. It may lose characters at its end, and change others one for one. */
export type LineRule = (line: string) => string;

/** Lines match whether they end with LF or CRLF. */
export const exactLine: LineRule = (line) => (line.endsWith("\r") ? line.slice(0, -1) : line);

/** Characters that models and word processors put where programmers type ASCII ones. All are one UTF-16 unit, as their replacements. */
const TYPOGRAPHIC: ReadonlyArray<readonly [RegExp, string]> = [
  [/[\u2018\u2019\u201a\u201b]/g, "'"],
  [/[\u201c\u201d\u201e\u201f]/g, '"'],
  [/[\u2010-\u2015\u2212]/g, "-"],
  [/[\u00a0\u2002-\u200a\u202f\u205f\u3000]/g, " "],
];

/** As {@link exactLine}, and white space at the end, typographic quotes, dashes and spaces make no difference. */
export const tolerantLine: LineRule = (line) => TYPOGRAPHIC.reduce((text, [from, to]) => text.replace(from, to), line.trimEnd());

/** See a text through a rule. */
export function viewText(original: string, rule: LineRule): TextView {
  const lines = original.split("\n");
  const last = lines.length - 1;
  // A carriage return belongs to a line ending only before a newline.
  const compared = lines.map((line, index) => (index === last && rule === exactLine ? line : rule(line)));
  const starts = { view: new Uint32Array(lines.length), original: new Uint32Array(lines.length) };
  for (let i = 1; i < lines.length; i++) {
    starts.view[i] = (starts.view[i - 1] ?? 0) + (compared[i - 1]?.length ?? 0) + 1;
    starts.original[i] = (starts.original[i - 1] ?? 0) + (lines[i - 1]?.length ?? 0) + 1;
  }
  return {
    text: compared.join("\n"),
    original: (offset) => {
      const line = lastNotAbove(starts.view, offset);
      return (starts.original[line] ?? 0) + offset - (starts.view[line] ?? 0);
    },
  };
}

/** Index of the last of ascending numbers that is not above `limit`. */
function lastNotAbove(ascending: Uint32Array, limit: number): number {
  let low = 0;
  let high = ascending.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((ascending[middle] ?? 0) <= limit) low = middle;
    else high = middle - 1;
  }
  return low;
}
