import type { Chunk } from "./runs.ts";

const NEWLINE = 10;
/** After this many newlines, fewer than this many bytes apart, searching for each one costs more than looking at every byte. */
const DENSE_SAMPLE = 16;
const DENSE_BYTES = 64;

export function totalBytes(chunks: readonly Chunk[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.data.length, 0);
}

/** Those parts of `chunks` that lie within `maxBytes` from `from` on, without copying. */
export function cutChunks(chunks: readonly Chunk[], from: number, maxBytes: number): Chunk[] {
  const cut: Chunk[] = [];
  let room = maxBytes;
  for (let i = firstChunkAt(chunks, from); i < chunks.length && room > 0; i++) {
    const chunk = chunks[i];
    if (chunk === undefined) break;
    const skip = Math.max(0, from - chunk.offset);
    const data = chunk.data.subarray(skip, skip + room);
    cut.push({ offset: chunk.offset + skip, stream: chunk.stream, data });
    room -= data.length;
  }
  return cut;
}

/** Index of the chunk that holds byte `offset`. */
export function firstChunkAt(chunks: readonly Chunk[], offset: number): number {
  let low = 0;
  let high = chunks.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((chunks[middle]?.offset ?? 0) <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Newline characters in `data`. Jumps from one to the next while they are far apart, and looks at every byte otherwise. */
export function countNewlines(data: Buffer): number {
  let count = 0;
  for (let at = data.indexOf(NEWLINE); at !== -1; at = data.indexOf(NEWLINE, at + 1)) {
    count++;
    if (count < DENSE_SAMPLE || at / count > DENSE_BYTES) continue;
    for (let i = at + 1; i < data.length; i++) if (data[i] === NEWLINE) count++;
    break;
  }
  return count;
}
