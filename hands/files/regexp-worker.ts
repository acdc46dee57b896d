import { readSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import type { MatchRequest } from "./regexp-matcher.ts";

const CHUNK_BYTES = 1024 * 1024;
/** Of a longer line only the start is matched. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;
const NEWLINE = 10;

const { source, flags } = workerData as { source: string; flags: string };
const pattern = new RegExp(source, flags);

/** Numbers of the lines of a file that match, from 1. */
function matchingLines({ fd, max }: MatchRequest): number[] {
  const found: number[] = [];
  let number = 1;
  let rest: Buffer = Buffer.alloc(0);
  const test = (line: Buffer): void => {
    const text = line.toString("utf8");
    if (pattern.test(text.endsWith("\r") ? text.slice(0, -1) : text)) found.push(number);
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
