import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { diffArrays } from "diff";

/** A text and what takes its place. */
export interface TextEdit {
  readonly oldText: string;
  readonly newText: string;
}

/** A part of the original, and what takes its place. */
interface Span {
  readonly start: number;
  readonly end: number;
  readonly newText: string;
  /** Index of its edit, for errors. */
  readonly edit: number;
}

const BOM = "\ufeff";

/** Beyond this many differing lines, lines that both texts share are no longer searched for. */
const MAX_DIFFERENCES = 2000;

/**
 * Carry out edits, all matched against `original` as it is. Each old text must occur exactly once: as it is, or else,
 * if it does not occur at all, with the tolerance of {@link tolerantLine}. Everything but the replaced parts stays
 * byte for byte, a byte order mark included; lines that a new text leaves as they were keep their endings, new ones
 * get the file's. FAILED_PRECONDITION `no_match`, `ambiguous_match`, `overlapping_edits`.
 */
export function editText(original: string, edits: readonly TextEdit[]): string {
  const bom = original.startsWith(BOM) ? BOM : "";
  const text = original.slice(bom.length);
  const ending = lineEndingOf(text);
  const exact = viewText(text, exactLine);
  let tolerant: TextView | undefined;
  const find = (oldText: string, edit: number): { start: number; end: number } => {
    const found = findOnce(exact, oldText, exactLine, edit);
    if (found !== undefined) return found;
    tolerant ??= viewText(text, tolerantLine);
    const similar = findOnce(tolerant, oldText, tolerantLine, edit);
    if (similar !== undefined) return similar;
    throw refusal("no_match", edit, "does not occur: read the file again and copy the text exactly, white space included");
  };
  const spans = edits.map(({ oldText, newText }, edit) => {
    const { start, end } = find(oldText, edit);
    return { start, end, newText: ending === undefined ? newText : withLineEndings(newText, text.slice(start, end), ending), edit };
  });
  return bom + replaceSpans(text, spans);
}

/** Where `oldText` is in the original; `undefined` if it is not. */
function findOnce(view: TextView, oldText: string, rule: LineRule, edit: number): { start: number; end: number } | undefined {
  const lines = oldText.split("\n");
  const last = lines.length - 1;
  // In a file with CRLF, a text copied up to a line's end may carry the carriage return alone.
  const wanted = lines.map((line, index) => (index === last && rule === exactLine ? line : rule(line))).join("\n");
  if (wanted.trim() === "" && rule !== exactLine) return undefined;
  // White space at the end of the wanted text only makes no difference where a line ends.
  const toLineEnd = rule !== exactLine && (lines[last] ?? "").trimEnd() !== lines[last];
  const first = occurrence(view.text, wanted, 0, toLineEnd);
  if (first === -1) return undefined;
  if (occurrence(view.text, wanted, first + 1, toLineEnd) !== -1) {
    throw refusal("ambiguous_match", edit, "occurs more than once: add lines around it until it is unique");
  }
  return { start: view.original(first), end: view.original(first + wanted.length) };
}

function occurrence(text: string, wanted: string, from: number, toLineEnd: boolean): number {
  for (let at = text.indexOf(wanted, from); at !== -1; at = text.indexOf(wanted, at + 1)) {
    const next = text[at + wanted.length];
    if (!toLineEnd || next === undefined || next === "\n") return at;
  }
  return -1;
}

function replaceSpans(text: string, spans: readonly Span[]): string {
  const sorted = [...spans].sort((a, b) => a.start - b.start);
  const parts: string[] = [];
  let position = 0;
  for (const span of sorted) {
    if (span.start < position) throw refusal("overlapping_edits", span.edit, "overlaps with another edit: join the two into one");
    parts.push(text.slice(position, span.start), span.newText);
    position = span.end;
  }
  return parts.join("") + text.slice(position);
}

/** The line ending that a text uses most; `undefined` if it is one line. */
function lineEndingOf(text: string): "\n" | "\r\n" | undefined {
  let crlf = 0;
  let all = 0;
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) {
    all += 1;
    if (text[at - 1] === "\r") crlf += 1;
  }
  if (all === 0) return undefined;
  return crlf * 2 > all ? "\r\n" : "\n";
}

/** A new text with the endings of the lines that it shares with the old one, and elsewhere with the file's. */
function withLineEndings(text: string, old: string, ending: "\n" | "\r\n"): string {
  const lines = text.replaceAll("\r\n", "\n").split("\n");
  const endings = endingsOf(lines, old, ending);
  return lines.map((line, index) => (index === lines.length - 1 ? line : line + endings[index])).join("");
}

function endingsOf(lines: readonly string[], old: string, ending: "\n" | "\r\n"): readonly string[] {
  const before = old.split("\n");
  const isMixed = before.slice(0, -1).some((line) => line.endsWith("\r") !== (ending === "\r\n"));
  if (!isMixed) return lines.map(() => ending);
  const endings: string[] = [];
  let at = 0;
  const changes = diffArrays(before.map(exactLine), [...lines], { maxEditLength: MAX_DIFFERENCES }) ?? [
    { count: lines.length, added: true, removed: false },
  ];
  for (const { count, added, removed } of changes) {
    for (let index = 0; index < count; index++) {
      const same = before[at + index];
      // The last piece of the old text has no ending of its own.
      const known = at + index < before.length - 1 && same !== undefined;
      if (!removed) endings.push(added || !known ? ending : same.endsWith("\r") ? "\r\n" : "\n");
    }
    if (!added) at += count;
  }
  return endings;
}

function refusal(reason: "no_match" | "ambiguous_match" | "overlapping_edits", edit: number, problem: string): HarnessError {
  const message = `edits[${edit}].old_text ${problem}; nothing was changed`;
  return new HarnessError(Code.FailedPrecondition, reason, message, { metadata: { edit: String(edit) } });
}

/** A text as it is compared, and where each of its characters is in the original. Lines stay lines. */
interface TextView {
  readonly text: string;
  /** Offset in the original of a character of {@link text}, or of its end. */
  original(offset: number): number;
}

/** How a line, without its newline, is compared. It may lose characters at its end, and change others one for one. */
type LineRule = (line: string) => string;

/** Lines match whether they end with LF or CRLF. */
const exactLine: LineRule = (line) => (line.endsWith("\r") ? line.slice(0, -1) : line);

/** Characters that models and word processors put where programmers type ASCII ones. All are one UTF-16 unit, as their replacements. */
const TYPOGRAPHIC: ReadonlyArray<readonly [RegExp, string]> = [
  [/[\u2018\u2019\u201a\u201b]/g, "'"],
  [/[\u201c\u201d\u201e\u201f]/g, '"'],
  [/[\u2010-\u2015\u2212]/g, "-"],
  [/[\u00a0\u2002-\u200a\u202f\u205f\u3000]/g, " "],
];

/** As {@link exactLine}, and white space at the end, typographic quotes, dashes and spaces make no difference. */
const tolerantLine: LineRule = (line) => TYPOGRAPHIC.reduce((text, [from, to]) => text.replace(from, to), line.trimEnd());

function viewText(original: string, rule: LineRule): TextView {
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
