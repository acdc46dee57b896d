import { closeSync, createReadStream, openSync } from "node:fs";
import { firstSeq, isPart, MAX_LINE_BYTES, partsOf, readHead } from "./files.ts";
import { hashOf, type Line, NO_LINE, type Place, parseLine } from "./line.ts";

/** The first line with which a log is not what its writer wrote. */
export interface Break {
  readonly file: string;
  /** Its number in the file, from 1. */
  readonly line: number;
  readonly problem: string;
}

/** What the lines of a log prove. */
export interface Verdict {
  /** The files in the order of their lines. */
  readonly files: readonly string[];
  readonly lines: number;
  /** Number of the first line. What was before is not proved, unless it is 1 or the log says that it was removed. */
  readonly firstSeq: number;
  /** The last line that is proved. */
  readonly end: Place;
  /** Files before the first one were removed by the writer, who wrote so. */
  readonly removed: boolean;
  /** Absent: nothing was changed, removed or put in. */
  readonly broken?: Break;
}

/**
 * Prove the chain of a log. `paths`: its files, in any order. A log's current file stands for all files of the log, with the head beside it; of full files, which
 * are named by a number, only the lines that they hold are proved, from whichever they start with. Throws if a file can't be read.
 */
export async function verifyLog(paths: readonly string[]): Promise<Verdict> {
  const whole = [...new Set(paths.filter((path) => !isPart(path)))];
  if (whole.length > 1) throw new Error(`${whole.join(" and ")} are logs of their own: verify one at a time`);
  const [current] = whole;
  // Read before the lines: a log that is being written only grows.
  const head = current === undefined ? undefined : readHead(current);
  const files = (current === undefined ? [...new Set(paths)].map(opened) : openAll(current)).sort((a, b) => a.firstSeq - b.firstSeq);
  const chain = new Chain(head, current !== undefined);
  try {
    for (const { path, fd } of files) {
      let number = 0;
      for await (const { text, isWhole } of linesOf(fd)) chain.take(path, ++number, text, isWhole);
    }
  } finally {
    for (const { fd } of files) closeSync(fd);
  }
  return chain.verdict(files.map(({ path }) => path));
}

interface OpenFile {
  readonly path: string;
  readonly fd: number;
  readonly firstSeq: number;
}

function opened(path: string): OpenFile {
  const fd = openSync(path, "r");
  return { path, fd, firstSeq: firstSeq(fd) ?? Number.POSITIVE_INFINITY };
}

/** All files of a log, whose writer may go on to the next one meanwhile. */
function openAll(current: string): OpenFile[] {
  for (;;) {
    const parts = partsOf(current);
    const files = [...parts, current].map(opened);
    if (partsOf(current).join() === parts.join()) return files;
    for (const { fd } of files) closeSync(fd);
  }
}

class Chain {
  readonly #head: Place | undefined;
  readonly #isWhole: boolean;
  #first: Line | undefined;
  #end: Place = { seq: 0, hash: NO_LINE };
  #lines = 0;
  #at = { file: "", line: 0 };
  #removed = false;
  #reachedHead = false;
  broken: Break | undefined;

  constructor(head: Place | undefined, isWhole: boolean) {
    this.#head = head;
    this.#isWhole = isWhole;
  }

  take(file: string, line: number, text: Buffer, isWhole: boolean): void {
    if (this.broken !== undefined) return;
    this.#at = { file, line };
    const read = isWhole ? parseLine(text.toString()) : undefined;
    const wrong = read === undefined ? undefined : this.#wrong(read);
    if (read === undefined) this.#break(isWhole ? "it is no line of a log" : "it is not whole: its writer was killed, or writes it now");
    else if (wrong !== undefined) this.#break(wrong);
    else this.#proved(read, text);
  }

  #proved(read: Line, text: Buffer): void {
    this.#first ??= read;
    this.#lines++;
    this.#end = { seq: read.seq, hash: hashOf(text) };
    if (this.#head?.seq !== read.seq) return;
    this.#reachedHead = true;
    if (this.#head.hash !== this.#end.hash) this.#break("it was changed: the log's head has another hash of it");
  }

  verdict(files: readonly string[]): Verdict {
    if (this.broken === undefined) this.#finish(files);
    const { seq = 0 } = this.#first ?? {};
    const told = { files, lines: this.#lines, firstSeq: seq, end: this.#end, removed: this.#removed };
    return this.broken === undefined ? told : { ...told, broken: this.broken };
  }

  /** What only the whole log shows. */
  #finish(files: readonly string[]): void {
    if (!this.#isWhole) return;
    const { seq = 1 } = this.#first ?? {};
    if (this.#head === undefined) {
      this.#break("the head beside the log is missing: nothing tells whether lines after this one are");
    } else if (seq > 1 && !this.#removed) {
      this.#at = { file: files[0] ?? "", line: 1 };
      this.#break(`lines 1 to ${seq - 1} of the log are missing, and it does not say that they were removed`);
    } else if (this.#head.seq > 0 && !this.#reachedHead) {
      this.#at = { ...this.#at, line: this.#at.line + 1 };
      this.#break(`lines ${this.#end.seq + 1} to ${this.#head.seq} of the log are missing at its end`);
    }
  }

  #wrong(line: Line): string | undefined {
    const { seq, prev, action } = line;
    if (this.#first !== undefined || seq === 1) {
      if (seq !== this.#end.seq + 1) return `line ${this.#end.seq + 1} of the log should stand here, and ${seq} does`;
      if (prev !== this.#end.hash) return "it does not follow from the line before: one of both was changed";
    }
    if (action === "log.broken") return `its writer found the log damaged when it started: ${JSON.stringify(line["problem"])}`;
    if (action === "log.removed") this.#noteRemoved(line["through"] as Place | undefined);
    return undefined;
  }

  /** The writer removed what ends where the first line begins. */
  #noteRemoved(through: Place | undefined): void {
    if (this.#first !== undefined && through?.seq === this.#first.seq - 1 && through.hash === this.#first.prev) this.#removed = true;
  }

  #break(problem: string): void {
    this.broken = { ...this.#at, problem };
  }
}

/** The lines of a file; the last one may have no end. One that is longer than any line is given in pieces, none of which is a line. */
async function* linesOf(fd: number): AsyncGenerator<{ text: Buffer; isWhole: boolean }> {
  let rest = Buffer.alloc(0);
  for await (const chunk of createReadStream("", { fd, autoClose: false, start: 0 }) as AsyncIterable<Buffer>) {
    rest = Buffer.concat([rest, chunk]);
    for (let end = rest.indexOf(0x0a); end !== -1; end = rest.indexOf(0x0a)) {
      yield { text: rest.subarray(0, end), isWhole: true };
      rest = rest.subarray(end + 1);
    }
    if (rest.length <= MAX_LINE_BYTES) continue;
    yield { text: rest, isWhole: true };
    rest = Buffer.alloc(0);
  }
  if (rest.length > 0) yield { text: rest, isWhole: false };
}
