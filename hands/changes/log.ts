import { closeSync, fdatasync, openSync, writeSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";
import type { JsonObject } from "@bufbuild/protobuf";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import { DamagedRecord, type Durability, syncDirectory, writeDurably } from "../fs/durable.ts";
import { isWitness, type Witness } from "./witness.ts";

/** A change that is about to happen. */
export interface Intent {
  readonly id: string;
  readonly fingerprint: string;
  readonly atMs: number;
  readonly witness: Witness;
  /** The answer as far as it is known before the effect. */
  readonly draft: JsonObject;
  /** The file that the answer describes: its path below the workspace and its inode. */
  readonly target?: { readonly path: string; readonly inode: string };
}

/** A change that happened, with the answer that its caller got. */
export interface Outcome {
  readonly id: string;
  readonly fingerprint: string;
  readonly atMs: number;
  readonly result: JsonObject;
}

/** How many outcomes a workspace's log remembers: what is beyond any of the three is forgotten, the oldest first. */
export interface LogLimits {
  readonly maxCount: number;
  /** Bytes of outcomes, which hold the patches of edits. */
  readonly maxBytes: number;
  readonly maxAgeMs: number;
}

type Line = Intent | Outcome | { readonly id: string; readonly withdrawn: true };

const datasync = promisify(fdatasync);

/** Lines that may be superseded before the file is written again. */
const SLACK_LINES = 500;

/**
 * One workspace's changes: JSON lines, appended, and synced if they are to survive the machine. The last line about
 * an id counts. Not safe for calls side by side: its owner runs one change of a workspace at a time.
 */
export class ChangeLog {
  readonly #path: string;
  readonly #limits: LogLimits;
  readonly #durability: Durability;
  readonly #open = new Map<string, Intent>();
  /** In the order of their time. */
  readonly #outcomes = new Map<string, { readonly outcome: Outcome; readonly bytes: number }>();
  #bytes = 0;
  #lines = 0;

  private constructor(path: string, limits: LogLimits, durability: Durability) {
    this.#path = path;
    this.#limits = limits;
    this.#durability = durability;
  }

  /**
   * Read a log; empty if there is no file. A line that a crash cut is as if it was never written: nobody was told of it.
   * {@link DamagedRecord} if a line is whole, and no record.
   */
  static async load(path: string, limits: LogLimits, durability: Durability): Promise<ChangeLog> {
    const log = new ChangeLog(path, limits, durability);
    const made = await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    if (made !== undefined) await syncDirectory(dirname(dirname(path)));
    const content = await readIfThere(path);
    if (content === undefined) await writeDurably(path, "");
    for (const line of linesOf(content)) log.#take(line);
    await log.#rewrite();
    return log;
  }

  /** Throw a {@link DamagedRecord} for a log that can't be loaded. */
  static async check(path: string): Promise<void> {
    linesOf(await readIfThere(path));
  }

  /** Intents without an outcome: what was under way when the daemon died. */
  get open(): Intent[] {
    return [...this.#open.values()];
  }

  get(id: string): Outcome | undefined {
    return this.#outcomes.get(id)?.outcome;
  }

  /** Durable, as far as was asked for, when it resolves. */
  async intend(intent: Intent): Promise<void> {
    await this.#append(intent);
    this.#take(intent);
  }

  /** The intent came to nothing. */
  async withdraw(id: string): Promise<void> {
    const line: Line = { id, withdrawn: true };
    this.#take(line);
    await this.#append(line);
  }

  /** Remembered at once, durable, as far as was asked for, when it resolves. */
  async record(outcome: Outcome): Promise<void> {
    this.#take(outcome);
    await this.#append(outcome);
    if (this.#lines > 2 * this.#outcomes.size + SLACK_LINES) await this.#rewrite();
  }

  async #append(line: Line): Promise<void> {
    const file = openSync(this.#path, "a", 0o600);
    try {
      // The newline comes first: the line before may have been cut by a full disk.
      const bytes = Buffer.from(`\n${JSON.stringify(line)}`);
      for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written);
      if (this.#durability === "machine") await datasync(file);
    } finally {
      closeSync(file);
    }
  }

  #take(line: Line): void {
    this.#lines += 1;
    this.#open.delete(line.id);
    if ("witness" in line) this.#open.set(line.id, line);
    if (!("result" in line)) return;
    this.#forget(line.id);
    const bytes = JSON.stringify(line).length;
    this.#outcomes.set(line.id, { outcome: line, bytes });
    this.#bytes += bytes;
    this.#trim(line.atMs);
  }

  #trim(nowMs: number): void {
    const { maxCount, maxBytes, maxAgeMs } = this.#limits;
    for (const [id, { outcome }] of this.#outcomes) {
      const full = this.#outcomes.size > maxCount || (this.#bytes > maxBytes && this.#outcomes.size > 1);
      if (!full && nowMs - outcome.atMs <= maxAgeMs) return;
      this.#forget(id);
    }
  }

  #forget(id: string): void {
    this.#bytes -= this.#outcomes.get(id)?.bytes ?? 0;
    this.#outcomes.delete(id);
  }

  async #rewrite(): Promise<void> {
    const lines: Line[] = [...[...this.#outcomes.values()].map(({ outcome }) => outcome), ...this.#open.values()];
    if (lines.length === this.#lines) return;
    await writeDurably(this.#path, lines.map((line) => JSON.stringify(line)).join("\n"));
    this.#lines = lines.length;
  }
}

function linesOf(content: string | undefined): Line[] {
  const lines = content?.split("\n").map(parseLine) ?? [];
  return lines.filter((line) => line !== undefined);
}

/** `undefined` for a line that was cut. */
function parseLine(text: string): Line | undefined {
  let line: unknown;
  try {
    line = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (isLine(line)) return line;
  throw new DamagedRecord("a line of the log of changes is damaged, so the change that it recorded could happen again");
}

function isLine(value: unknown): value is Line {
  if (!isObject(value) || typeof value["id"] !== "string") return false;
  if (value["withdrawn"] === true) return true;
  if (typeof value["fingerprint"] !== "string" || !Number.isSafeInteger(value["atMs"])) return false;
  if ("result" in value) return isObject(value["result"]);
  const { witness, draft, target } = value;
  return isWitness(witness) && isObject(draft) && (target === undefined || (isObject(target) && typeof target["path"] === "string"));
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
