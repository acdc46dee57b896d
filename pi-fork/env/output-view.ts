import { type ShellOutputView, sanitizeBinaryOutput, truncateHead, truncateTail } from "@earendil-works/pi-agent-core";

/** What of an output its reader wants. */
export interface OutputLimits {
  readonly maxBytes: number;
  readonly maxLines: number;
  readonly retain: "head" | "tail";
}

/** The whole output's size, as hands counted it. */
export interface OutputTotals {
  readonly bytes: number;
  /** Newline characters. */
  readonly newlines: number;
}

type Kept = ReturnType<typeof truncateTail>;

/**
 * The bounded view of a command's output that Pi's bash tool shows, with the same numbers as Pi's own capture. Pi's reads every
 * byte; this one may miss some (hands does not send what a bounded reader would not keep), so where there were gaps the totals
 * are those that hands counted.
 */
export class OutputView {
  readonly #limits: OutputLimits;
  #decoder = new TextDecoder();
  #text = "";
  #bytes = 0;
  #newlines = 0;
  #endsWithNewline = true;
  #lastLineBytes = 0;
  #gap = false;
  /** The text starts behind a gap, most likely inside a line. */
  #startsInLine = false;
  #totals: OutputTotals | undefined;

  constructor(limits: OutputLimits) {
    this.#limits = limits;
  }

  push(data: Uint8Array): void {
    let start = 0;
    // Behind a gap, the rest of a character whose beginning is missing.
    while (this.#startsInLine && this.#text === "" && start < data.length && isContinuation(data[start])) start++;
    this.#bytes += start;
    this.#lastLineBytes += start;
    this.#append(this.#decoder.decode(data.subarray(start), { stream: true }));
  }

  /** `bytes` bytes are missing here. */
  skip(bytes: number): void {
    this.#gap = true;
    this.#bytes += bytes;
    this.#lastLineBytes += bytes;
    // Whether the last line has its end is told by what comes behind; behind a head nothing comes, and most outputs end in a newline.
    this.#endsWithNewline = true;
    if (this.#limits.retain === "head") return;
    this.#decoder = new TextDecoder();
    this.#text = "";
    this.#startsInLine = true;
  }

  /** No more will come. */
  finish(totals: OutputTotals): void {
    this.#append(this.#decoder.decode());
    if (this.#gap) this.#totals = totals;
  }

  snapshot(): ShellOutputView {
    const { maxBytes, maxLines, retain } = this.#limits;
    const { content, ...kept } = retain === "head" ? this.#head() : this.#tail();
    const totalBytes = this.#totals?.bytes ?? this.#bytes;
    const unterminated = this.#endsWithNewline || this.#bytes === 0 ? 0 : 1;
    const totalLines = (this.#totals?.newlines ?? this.#newlines) + unterminated;
    const tooLong = totalLines > maxLines;
    const truncated = totalBytes > maxBytes || tooLong;
    return {
      text: sanitizeBinaryOutput(content),
      truncation: { ...kept, truncated, truncatedBy: truncated ? (tooLong ? "lines" : "bytes") : null, totalBytes, totalLines },
      ...(kept.lastLinePartial ? { lastLineBytes: this.#lastLineBytes } : {}),
    };
  }

  /** The last whole lines. Where the text starts inside a line, that one only counts if there is no other. */
  #tail(): Kept {
    if (!this.#startsInLine || this.#text === "") return truncateTail(this.#text, this.#limits);
    const lines = this.#text.endsWith("\n") ? this.#text.slice(0, -1) : this.#text;
    const firstEnd = lines.indexOf("\n");
    if (firstEnd !== -1) return truncateTail(lines.slice(firstEnd + 1), this.#limits);
    return { ...truncateTail(lines, this.#limits), lastLinePartial: true };
  }

  /** The first whole lines. Where something is missing behind the text, its last line is cut. */
  #head(): Kept {
    if (!this.#gap) return truncateHead(this.#text, this.#limits);
    const lastEnd = this.#text.lastIndexOf("\n");
    return { ...truncateHead(this.#text.slice(0, Math.max(0, lastEnd)), this.#limits), firstLineExceedsLimit: lastEnd === -1 };
  }

  #append(text: string): void {
    if (text === "") return;
    const bytes = Buffer.byteLength(text);
    const lastNewline = text.lastIndexOf("\n");
    this.#bytes += bytes;
    this.#newlines += text.split("\n").length - 1;
    this.#endsWithNewline = text.endsWith("\n");
    this.#lastLineBytes = lastNewline === -1 ? this.#lastLineBytes + bytes : Buffer.byteLength(text.slice(lastNewline + 1));
    this.#text += text;
    this.#bound();
  }

  /** Keep twice of what is shown, so that whole lines can be cut out of it; let it grow to twice that, so that cutting is rare. */
  #bound(): void {
    const keep = this.#limits.maxBytes * 2;
    // A UTF-16 unit is at most three bytes of UTF-8.
    if (this.#text.length * 3 <= keep * 2) return;
    const bytes = Buffer.from(this.#text);
    if (bytes.length <= keep * 2) return;
    let [start, end] = this.#limits.retain === "head" ? [0, keep] : [bytes.length - keep, bytes.length];
    while (start > 0 && start < bytes.length && isContinuation(bytes[start])) start++;
    while (end < bytes.length && end > 0 && isContinuation(bytes[end])) end--;
    this.#text = bytes.toString("utf8", start, end);
  }
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}
