import { closeSync, fdatasync, fstatSync, ftruncateSync, openSync, renameSync, writeSync } from "node:fs";
import { mkdir, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import { DamagedRecord } from "../fs/durable.ts";
import { type ExecRecord, isJournalLine, type JournalLine, linesOf, recordsOf } from "./record.ts";

/** Lines beyond twice the needed ones that are worth a rewrite. */
const SLACK_LINES = 1000;
/** How long what is written may wait for a flush that shall not cost the writer's time, in milliseconds. */
const FLUSH_SOON_MS = 20;

/**
 * The records of one workspace's execs: a file of JSON lines that only grows, until it is rewritten without what was dropped.
 * A line that a crash cut in two is skipped when it is read: an intent that is not whole was never durable, so nothing was started
 * under it.
 */
export class Journal {
  readonly #path: string;
  #fd: number;
  #lines: number;
  #syncing: Promise<void> | undefined;
  #nextSync: Promise<void> | undefined;
  #soon: NodeJS.Timeout | undefined;

  private constructor(path: string, fd: number, lines: number) {
    this.#path = path;
    this.#fd = fd;
    this.#lines = lines;
  }

  /** Open the journal in `directory`, which is made if it is missing. {@link DamagedRecord} if a line is whole, and no record. */
  static async open(directory: string, log: Logger): Promise<{ journal: Journal; records: Map<string, ExecRecord> }> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const path = join(directory, "execs.jsonl");
    const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return "";
      throw error;
    });
    const lines = parse(text, log);
    const fd = openSync(path, "a", 0o600);
    const journal = new Journal(path, fd, lines.length);
    // A torn last line must not take the next one with it.
    if (text !== "" && !text.endsWith("\n")) writeSync(fd, "\n");
    return { journal, records: recordsOf(lines) };
  }

  /** Write a line; it survives this process, but maybe not the machine. RESOURCE_EXHAUSTED `journal_failed` if it can't be written. */
  write(line: JournalLine): void {
    const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
    let written = 0;
    try {
      while (written < bytes.length) written += writeSync(this.#fd, bytes, written);
      this.#lines++;
    } catch (error) {
      undoWrite(this.#fd, written);
      throw journalFailed(error);
    }
  }

  /** Write a line durably. Lines written meanwhile share one flush. */
  async writeDurably(line: JournalLine): Promise<void> {
    this.write(line);
    return this.flush();
  }

  /** Make what was written survive the machine too. Rejects with `journal_failed`. */
  async flush(): Promise<void> {
    if (this.#syncing === undefined) return this.#sync();
    // The flush under way may have begun before this line: it takes the next one.
    this.#nextSync ??= this.#syncing.catch(() => undefined).then(() => this.#sync());
    return this.#nextSync;
  }

  /** Flush within {@link FLUSH_SOON_MS}, together with what is written until then. `onFailure` gets a `journal_failed`. */
  flushSoon(onFailure: (error: unknown) => void): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      this.flush().catch(onFailure);
    }, FLUSH_SOON_MS);
  }

  /** Rewrite the file once most of it is of no use. Call it while nothing is being written durably. */
  async compact(records: Iterable<ExecRecord>): Promise<void> {
    const needed = [...records].flatMap(linesOf);
    if (this.#lines <= needed.length * 2 + SLACK_LINES || this.#syncing !== undefined) return;
    const before = this.#lines;
    const temporary = `${this.#path}.new`;
    const file = await open(temporary, "w", 0o600);
    try {
      await file.writeFile(needed.map((line) => `${JSON.stringify(line)}\n`).join(""));
      await file.sync();
    } finally {
      await file.close();
    }
    // Lines that came while the new file was written are not in it: another time. From here on nothing can come between.
    if (this.#lines !== before || this.#syncing !== undefined) return;
    const fd = openSync(temporary, "a");
    renameSync(temporary, this.#path);
    closeSync(this.#fd);
    this.#fd = fd;
    this.#lines = needed.length;
  }

  close(): void {
    clearTimeout(this.#soon);
    closeSync(this.#fd);
  }

  #sync(): Promise<void> {
    this.#nextSync = undefined;
    const syncing = new Promise<void>((resolve, reject) => {
      fdatasync(this.#fd, (error) => (error === null ? resolve() : reject(journalFailed(error))));
    }).finally(() => {
      if (this.#syncing === syncing) this.#syncing = undefined;
    });
    this.#syncing = syncing;
    return syncing;
  }
}

function parse(text: string, log: Logger): JournalLine[] {
  const lines: JournalLine[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (line === "") continue;
    const value = parseLine(line);
    if (value === undefined) log.warn({ line: index + 1 }, "a line of an exec journal is damaged and was skipped");
    else if (isJournalLine(value)) lines.push(value);
    else throw new DamagedRecord(`line ${index + 1} of the exec journal is no record, so an exec that it told of could run again`);
  }
  return lines;
}

/** `undefined` for a line that was cut. */
function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** A line that was written in part would damage the next one. `bytes`: as much of it as there is. */
function undoWrite(fd: number, bytes: number): void {
  if (bytes === 0) return;
  try {
    ftruncateSync(fd, fstatSync(fd).size - bytes);
  } catch {
    // The reader skips what can't be read.
  }
}

function journalFailed(error: unknown): HarnessError {
  const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
  return new HarnessError(
    Code.ResourceExhausted,
    "journal_failed",
    `the sandbox can't write its journal (${code}), so nothing was started: free space on its state volume and try again`,
    { cause: error },
  );
}
