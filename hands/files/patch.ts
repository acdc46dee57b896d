import { FILE_HEADERS_ONLY, formatPatch, type StructuredPatchHunk, structuredPatch } from "diff";

/** A change as a client reads it. */
export interface TextChange {
  /** Unified patch, with the names `a/<path>` and `b/<path>`. Empty if nothing changed, or it were longer than {@link MAX_PATCH}. */
  readonly patch: string;
  /** Counted from 1; 0 if nothing changed. */
  readonly firstChangedLine: number;
}

/** Characters of the longest patch: beyond, it is of no use to a reader, and answers are kept in memory. */
const MAX_PATCH = 1024 * 1024;

const CONTEXT = 3;

/** Beyond this many differing lines the exact diff, whose time grows with their square, is replaced by "all of this became all of that". */
const MAX_DIFFERENCES = 2000;

export function describeChange(path: string, before: string, after: string): TextChange {
  if (before === after) return { patch: "", firstChangedLine: 0 };
  const same = commonPrefix(before, after);
  const firstChangedLine = countLines(before.slice(0, same)) + 1;
  const window = changedWindow(before, after, same);
  const exact = structuredPatch("", "", window.before, window.after, undefined, undefined, {
    context: CONTEXT,
    maxEditLength: MAX_DIFFERENCES,
  });
  const hunks = (exact?.hunks ?? [coarseHunk(window.before, window.after)]).map((hunk) => ({
    ...hunk,
    oldStart: hunk.oldStart + window.linesBefore,
    newStart: hunk.newStart + window.linesBefore,
  }));
  const names = { oldFileName: `a/${path}`, newFileName: `b/${path}`, oldHeader: undefined, newHeader: undefined };
  const patch = formatPatch({ ...names, hunks }, FILE_HEADERS_ONLY);
  return { patch: patch.length > MAX_PATCH ? "" : patch, firstChangedLine };
}

/** The lines that differ, with enough around them for the context: a diff of these few is that of the whole. */
function changedWindow(before: string, after: string, same: number): { before: string; after: string; linesBefore: number } {
  const start = lineStart(before, same, CONTEXT + 1);
  const tail = commonSuffix(before, after, Math.min(before.length, after.length) - same);
  const kept = tail - (lineEnd(before, before.length - tail, CONTEXT + 1) - (before.length - tail));
  return {
    before: before.slice(start, before.length - kept),
    after: after.slice(start, after.length - kept),
    linesBefore: countLines(before.slice(0, start)),
  };
}

function coarseHunk(before: string, after: string): StructuredPatchHunk {
  const lines = [...marked("-", before), ...marked("+", after)];
  return { oldStart: 1, oldLines: splitLines(before).length, newStart: 1, newLines: splitLines(after).length, lines };
}

function marked(mark: string, text: string): string[] {
  const lines = splitLines(text).map((line) => mark + line);
  return text === "" || text.endsWith("\n") ? lines : [...lines, "\\ No newline at end of file"];
}

function splitLines(text: string): string[] {
  const lines = text.split("\n");
  return lines.at(-1) === "" ? lines.slice(0, -1) : lines;
}

function commonPrefix(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  let same = 0;
  while (same < length && a.charCodeAt(same) === b.charCodeAt(same)) same++;
  return same;
}

function commonSuffix(a: string, b: string, limit: number): number {
  let same = 0;
  while (same < limit && a.charCodeAt(a.length - 1 - same) === b.charCodeAt(b.length - 1 - same)) same++;
  return same;
}

function countLines(text: string): number {
  let lines = 0;
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) lines++;
  return lines;
}

/** Start of the line `lines - 1` lines above the one that holds `offset`. */
function lineStart(text: string, offset: number, lines: number): number {
  let start = offset;
  for (let i = 0; i < lines && start > 0; i++) {
    const from = start - (i === 0 ? 1 : 2);
    start = from < 0 ? 0 : text.lastIndexOf("\n", from) + 1;
  }
  return start;
}

/** End of the line `lines - 1` lines below the one that holds `offset`. */
function lineEnd(text: string, offset: number, lines: number): number {
  let end = offset;
  for (let i = 0; i < lines && end < text.length; i++) {
    const newline = text.indexOf("\n", end);
    end = newline === -1 ? text.length : newline + 1;
  }
  return end;
}
