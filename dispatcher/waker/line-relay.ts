import type { Readable } from "node:stream";
import { type BrainLog, formatLine } from "./brain-log.ts";

/** Longest line in characters; a longer one is cut into several, so that a brain that never ends its line costs no memory. */
const MAX_LINE = 1024 * 1024;

/** Copy a brain's output to the log, line by line. Resolves when the stream is over, an unterminated last line included. */
export async function relayLines(source: Readable, brain: string, stream: "stdout" | "stderr", log: BrainLog): Promise<void> {
  let rest = "";
  const write = (lines: readonly string[]): void => {
    const wanted = lines.filter((line) => line !== "");
    if (wanted.length > 0) log.write(wanted.map((line) => `${formatLine(brain, stream, line)}\n`).join(""));
  };
  try {
    for await (const chunk of source.setEncoding("utf8")) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      write(lines);
      while (rest.length > MAX_LINE) {
        write([rest.slice(0, MAX_LINE)]);
        rest = rest.slice(MAX_LINE);
      }
    }
  } finally {
    write([rest]);
  }
}
