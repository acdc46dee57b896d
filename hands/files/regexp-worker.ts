import { readSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import type { MatchingLine } from "./line-query.ts";
import type { MatchRequest } from "./regexp-matcher.ts";

const CHUNK_BYTES = 1024 * 1024;
/** Of a longer line only the start is matched. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;
const NEWLINE = 10;

const { source, flags } = workerData as { source: string; flags: string };
const pattern = new RegExp(source, flags);

/** The lines of a file that match. A byte order mark is no part of the first one. */
function matchingLines({ fd, max }: MatchRequest): MatchingLine[] {
  const found: MatchingLine[] = [];
  let number = 1;
  let rest: Buffer = Buffer.alloc(0);
  const test = (line: Buffer): void => {
    const whole = line.toString("utf8");
    const text = number === 1 ? whole.replace(/^\ufeff/, "") : whole;
    const match = pattern.exec(text.endsWith("\r") ? text.slice(0, -1) : text);
    if (match !== null) found.push({ number, offset: Buffer.byteLength(text.slice(0, match.index)) });
    number += 1;
  };
  for (;;) {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    const bytes = readSync(fd, buffer, 0, CHUNK_BYTES, null);
    if (bytes === 0) break;
    const chunk = rest.length === 0 ? buffer.subarray(0, bytes) : Buffer.concat([rest, buffer.subarray(0, bytes)]);
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1 && found.length < max; end = chunk.indexOf(NEWLINE, start)) {
      test(chunk.subarray(start, end));
      start = end + 1;
    }
    if (found.length >= max) return found;
    rest = chunk.subarray(start, start + MAX_LINE_BYTES);
  }
  if (rest.length > 0) test(rest);
  return found;
}

parentPort?.on("message", (request: MatchRequest) => {
  parentPort?.postMessage(matchingLines(request));
});
