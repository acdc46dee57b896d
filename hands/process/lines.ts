import type { Readable } from "node:stream";

/** Longest line, in bytes: what goes beyond it is another one. */
const MAX_LINE = 4096;

/** Hands on what a stream brings line by line, the last one too if no newline ends it. Holds no more than one line. */
export function onLines(stream: Readable, onLine: (line: string) => void): void {
  let begun = Buffer.alloc(0);
  const emit = (bytes: Buffer): void => {
    if (bytes.length > 0) onLine(bytes.toString());
  };
  stream.on("data", (chunk: Buffer) => {
    let rest = Buffer.concat([begun, chunk]);
    for (let end = rest.indexOf(10); end >= 0 || rest.length > MAX_LINE; end = rest.indexOf(10)) {
      const length = end < 0 || end > MAX_LINE ? MAX_LINE : end;
      emit(rest.subarray(0, length));
      rest = rest.subarray(length === end ? length + 1 : length);
    }
    begun = Buffer.from(rest);
  });
  stream.once("end", () => emit(begun));
  // What it was read for is gone; whoever it belongs to tells of that.
  stream.on("error", () => undefined);
}
