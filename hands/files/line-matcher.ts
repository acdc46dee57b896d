import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Handle } from "@serverless-harness/kit/paths/handle";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import type { FileMatches, LineQuery, MatchingLine, MatchLines, SearchFile } from "./line-query.ts";
import { matchWithRipgrep } from "./ripgrep.ts";

/** Files up to this size are read at once. */
const SMALL_BYTES = 256 * 1024;

/** Gives way to the rest of the daemon after this time. */
const SLICE_MS = 10;

const NEWLINE = 0x0a;

/** The text that a query looks for, if it is plain: no character of it means something in a regular expression. */
export function literalOf({ pattern, literal, ignoreCase }: LineQuery): Buffer | undefined {
  if (ignoreCase || pattern.includes("\r") || !(literal || /^[\w ,;:="'<>/@%&!~`-]+$/.test(pattern))) return undefined;
  return Buffer.from(pattern);
}

/**
 * Matches lines by a plain text in this process if the file is small: starting a process with a thousand descriptors takes far longer than
 * looking through such files. Everything else is left to ripgrep.
 */
export const matchLines: MatchLines = (files, query, signal) => {
  const text = literalOf(query);
  return text === undefined ? matchWithRipgrep(files, query, signal) : matchLiteral(text, files, query, signal);
};

async function* matchLiteral(text: Buffer, ...[files, query, signal]: Parameters<MatchLines>): AsyncGenerator<FileMatches> {
  let slice = performance.now();
  const large: SearchFile[] = [];
  const found: FileMatches[] = [];
  for (const file of files) {
    const content = readSmall(file.handle);
    if (content === undefined) large.push(file);
    else if (content.includes(text)) found.push({ file, lines: linesWith(content, text, query.maxPerFile) });
    if (performance.now() - slice < SLICE_MS) continue;
    if (signal.aborted) return;
    await nextTurn();
    slice = performance.now();
  }
  if (large.length > 0) for await (const matches of matchWithRipgrep(large, query, signal)) found.push(matches);
  const position = new Map(files.map((file, index) => [file, index]));
  yield* found.sort((a, b) => (position.get(a.file) ?? 0) - (position.get(b.file) ?? 0));
}

/** The lines that hold the text. */
function linesWith(content: Buffer, text: Buffer, most: number): MatchingLine[] {
  const lines: MatchingLine[] = [];
  let line = 1;
  let counted = 0;
  for (let at = content.indexOf(text); at !== -1 && lines.length < most; ) {
    for (let next = content.indexOf(NEWLINE, counted); next !== -1 && next < at; next = content.indexOf(NEWLINE, counted)) {
      line += 1;
      counted = next + 1;
    }
    lines.push({ number: line, offset: at - counted });
    const end = content.indexOf(NEWLINE, at);
    at = end === -1 ? -1 : content.indexOf(text, end);
  }
  return lines;
}

/** A file's content; `undefined` if it is large, empty if it can't be read. */
function readSmall(file: Handle): Buffer | undefined {
  let fd: number;
  try {
    fd = openSync(file.path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (["EACCES", "ENOENT", "EPERM"].includes(errnoOf(error) ?? "")) return Buffer.alloc(0);
    throw error;
  }
  try {
    const { size } = fstatSync(fd);
    if (size > SMALL_BYTES) return undefined;
    const content = Buffer.allocUnsafe(size);
    return content.subarray(0, readSync(fd, content, 0, size, 0));
  } finally {
    closeSync(fd);
  }
}
