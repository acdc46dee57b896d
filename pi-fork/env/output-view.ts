import { type ShellOutputView, sanitizeBinaryOutput, truncateHead, truncateTail } from "@earendil-works/pi-agent-core";
import type { Stream } from "@serverless-harness/proto/hands";

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

/** A view with what Pi's type has no room for. */
export interface BoundedOutput extends ShellOutputView {
  /** More than one line is shown, and of the first of them perhaps only the end. */
  readonly beginsInLine?: true;
  /** Some of the output did not come, and how much is not known: the totals are of what came. */
  readonly uncounted?: true;
  /** What the file with the whole output lacks, for a human. */
  readonly problem?: string;
}

/** Makes text of one stream. */
interface StreamDecoder {
  readonly ofStream: ReturnType<typeof newDecoder>;
  /** Nothing but the rest of a character came since a gap. */
  isAfterGap: boolean;
}

type Kept = ReturnType<typeof truncateTail> & { readonly beginsInLine?: true };

/**
 * The bounded view of a command's output that the bash tool shows, with the same numbers as Pi's own capture. Pi's reads every
 * byte; this one may miss some (hands does not send what a bounded reader would not keep), so if there were gaps the totals
 * are those that hands counted.
 */
export class OutputView {
  readonly #limits: OutputLimits;
  /** One for each stream: a line of the other one may come in the middle of a character. */
  readonly #decoders = new Map<Stream, StreamDecoder>();
  #text = "";
  #bytes = 0;
  #newlines = 0;
  #endsWithNewline = true;
  /** Bytes before the text that belong to its first line, if no newline was in a gap. */
  #before = 0;
  #gap = false;
  /** The text starts after a gap, most likely inside a line. */
  #afterGap = false;
  #totals: OutputTotals | undefined;

  constructor(limits: OutputLimits) {
    this.#limits = limits;
  }

  push(stream: Stream, data: Uint8Array): void {
    let decoder = this.#decoders.get(stream);
    if (decoder === undefined) {
      decoder = { ofStream: newDecoder(), isAfterGap: this.#afterGap };
      this.#decoders.set(stream, decoder);
    }
    let start = 0;
    // After a gap, the rest of a character whose beginning is missing.
    while (decoder.isAfterGap && start < data.length && isContinuation(data[start])) start++;
    if (start < data.length) decoder.isAfterGap = false;
    this.#bytes += start;
    if (this.#text === "") this.#before += start;
    this.#append(decoder.ofStream.decode(data.subarray(start), { stream: true }));
  }

  /** `bytes` bytes are missing here. */
  skip(bytes: number): void {
    this.#gap = true;
    this.#bytes += bytes;
    // Whether the last line has its end is told by what comes after; after a head nothing comes, and most outputs end in a newline.
    this.#endsWithNewline = true;
    if (this.#limits.retain === "head") return;
    this.#drop(this.#text);
    this.#before += bytes;
    this.#decoders.clear();
    this.#text = "";
    this.#afterGap = true;
  }

  /** No more will come. */
  finish(totals: OutputTotals): void {
    for (const { ofStream } of this.#decoders.values()) this.#append(ofStream.decode());
    if (this.#gap) this.#totals = totals;
  }

  snapshot(): BoundedOutput {
    const { maxBytes, maxLines, retain } = this.#limits;
    const { content, beginsInLine, ...kept } = retain === "head" ? this.#head() : this.#tail();
    const totalBytes = this.#totals?.bytes ?? this.#bytes;
    const unterminated = this.#endsWithNewline || this.#bytes === 0 ? 0 : 1;
    const totalLines = (this.#totals?.newlines ?? this.#newlines) + unterminated;
    const tooLong = totalLines > maxLines;
    const truncated = totalBytes > maxBytes || tooLong;
    const lastLineBytes = kept.lastLinePartial ? this.#lastLineBytes() : undefined;
    return {
      text: sanitizeBinaryOutput(content),
      truncation: { ...kept, truncated, truncatedBy: truncated ? (tooLong ? "lines" : "bytes") : null, totalBytes, totalLines },
      ...(lastLineBytes === undefined ? {} : { lastLineBytes }),
      ...(beginsInLine === true ? { beginsInLine } : {}),
      ...(this.#gap && this.#totals === undefined ? { uncounted: true } : {}),
    };
  }

  /** The last whole lines. Where they are little, the end of the line before them as well. */
  #tail(): Kept {
    const { maxBytes, maxLines } = this.#limits;
    const begun = this.#before > 0 || this.#afterGap;
    const lines = linesOf(this.#text);
    if (!begun && lines.length <= maxLines && Buffer.byteLength(this.#text) <= maxBytes) return truncateTail(this.#text, this.#limits);
    const { count, bytes } = lastThatFit(lines.slice(begun ? 1 : 0), this.#limits);
    const cut = lines[lines.length - 1 - count];
    const room = maxBytes - bytes - (count === 0 ? 0 : 1);
    const end = cut === undefined || count === maxLines || room < maxBytes / 2 ? "" : lastBytes(cut, room);
    const shown = [...(end === "" ? [] : [end]), ...lines.slice(lines.length - count)];
    const content = shown.join("\n");
    return {
      ...truncateTail("", this.#limits),
      content,
      outputLines: shown.length,
      outputBytes: Buffer.byteLength(content),
      lastLinePartial: count === 0,
      ...(end !== "" && count > 0 ? { beginsInLine: true } : {}),
    };
  }

  /** Of the last line, which is the text's first as well; `undefined` if that is not known. */
  #lastLineBytes(): number | undefined {
    const last = linesOf(this.#text).at(-1) ?? "";
    const known = !this.#gap || this.#totals?.newlines === this.#newlines;
    return known ? this.#before + Buffer.byteLength(last) : undefined;
  }

  /** The first whole lines. If something is missing after the text, its last line is cut. */
  #head(): Kept {
    if (!this.#gap) return truncateHead(this.#text, this.#limits);
    const lastEnd = this.#text.lastIndexOf("\n");
    return { ...truncateHead(this.#text.slice(0, Math.max(0, lastEnd)), this.#limits), firstLineExceedsLimit: lastEnd === -1 };
  }

  #append(text: string): void {
    if (text === "") return;
    this.#bytes += Buffer.byteLength(text);
    this.#newlines += text.split("\n").length - 1;
    this.#endsWithNewline = text.endsWith("\n");
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
    this.#drop(bytes.toString("utf8", 0, start));
    this.#text = bytes.toString("utf8", start, end);
  }

  /** The beginning of the text goes. */
  #drop(text: string): void {
    const newline = text.lastIndexOf("\n");
    if (newline !== -1) this.#afterGap = false;
    this.#before = Buffer.byteLength(text.slice(newline + 1)) + (newline === -1 ? this.#before : 0);
  }
}

/** A byte order mark is output as well. */
function newDecoder() {
  return new TextDecoder("utf-8", { ignoreBOM: true });
}

/** How many of the last lines are shown, and their bytes with the newlines between them. */
function lastThatFit(lines: readonly string[], { maxBytes, maxLines }: OutputLimits): { count: number; bytes: number } {
  let count = 0;
  let bytes = 0;
  for (const line of lines.slice(-maxLines).reverse()) {
    const more = Buffer.byteLength(line) + (count === 0 ? 0 : 1);
    if (bytes + more > maxBytes) break;
    bytes += more;
    count++;
  }
  return { count, bytes };
}

/** The end of a line, in whole characters. */
function lastBytes(line: string, maxBytes: number): string {
  return truncateTail(line, { maxBytes }).content;
}

/** A newline ends a line, and begins none. */
function linesOf(text: string): string[] {
  return (text.endsWith("\n") ? text.slice(0, -1) : text).split("\n");
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}
