import { rm } from "node:fs/promises";
import { join } from "node:path";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import { EndCause } from "@serverless-harness/proto/hands";
import { countNewlines } from "../journal/chunks.ts";
import { Journal } from "../journal/journal.ts";
import { OutputJournal } from "../journal/output.ts";
import type { EndRecord, ExecRecord, Intent, JournalLine } from "../journal/record.ts";
import { Segment } from "../journal/segment.ts";
import { currentWorld, EXEC_VARIABLE, killMarked, type ProcessIdentity, ProcessTree } from "../process/processes.ts";
import type { Workspace } from "../workspaces/workspaces.ts";
import { Exec } from "./exec.ts";
import type { ExecLimits } from "./limits.ts";
import type { ExecRun } from "./run.ts";

const READ_BYTES = 256 * 1024;
/** Processes that end within this many milliseconds are not noted. */
const SHORT_LIFE_MS = 20;

/** An exec and, while it runs, its live half. */
export interface Entry {
  readonly exec: Exec;
  readonly record: ExecRecord;
  run?: ExecRun;
}

/** Tells who a process is, if that can be verified. */
export type Identify = () => ProcessIdentity | undefined;

/** The execs of one workspace: in memory, and in the journal in the workspace's state directory. */
export class ExecStore {
  readonly workspace: Workspace;
  readonly journal: Journal;
  readonly entries = new Map<string, Entry>();
  /** Those with a live half: asked for at every start, so not searched for among all that are kept. */
  readonly #running = new Set<Entry>();
  /** When it was asked for last, by the clock of `performance.now`. */
  usedAt = performance.now();
  readonly #directory: string;
  readonly #limits: ExecLimits;
  readonly #log: Logger;
  #nextSeq = 1;
  /** Processes that were started, but are not in the journal yet. */
  readonly #unnoted = new Map<Entry, Identify>();
  #noting: NodeJS.Timeout | undefined;
  #isPruning = false;

  private constructor(workspace: Workspace, journal: Journal, limits: ExecLimits, log: Logger) {
    this.workspace = workspace;
    this.journal = journal;
    this.#directory = join(workspace.stateDirectory, "execs");
    this.#limits = limits;
    this.#log = log;
  }

  /**
   * Read what an earlier daemon left. What ran when it died is `lost`: the rest of it is killed here and it is never run again.
   */
  static async open(workspace: Workspace, limits: ExecLimits, log: Logger): Promise<ExecStore> {
    const directory = join(workspace.stateDirectory, "execs");
    const { journal, records } = await Journal.open(directory, log);
    const store = new ExecStore(workspace, journal, limits, log);
    const segments = await Segment.findAll(directory);
    for (const record of records.values()) await store.#restore(record, segments.get(record.intent.id) ?? []);
    for (const [id, found] of segments) if (!records.has(id)) for (const segment of found) await segment.remove();
    return store;
  }

  /** Execs that run, or are about to. */
  get running(): ReadonlySet<Entry> {
    return this.#running;
  }

  /** Give an exec its live half. */
  begin(entry: Entry, run: ExecRun): void {
    entry.run = run;
    this.#running.add(entry);
  }

  /** Its live half is over. */
  end(entry: Entry): void {
    delete entry.run;
    this.#running.delete(entry);
    this.#unnoted.delete(entry);
  }

  /** Nothing in it runs or is read, so it may leave memory. */
  get isIdle(): boolean {
    return this.#running.size === 0 && ![...this.entries.values()].some(({ exec }) => exec.isFollowed);
  }

  /** What the processes of its execs carry in their environment. */
  get marks(): Set<string> {
    return new Set([...this.entries.values()].map(({ record }) => `${EXEC_VARIABLE}=${record.intent.mark}`));
  }

  /** Take up a new exec. It isn't journaled yet. */
  add(intent: Omit<Intent, "seq">): Entry {
    const full: Intent = { ...intent, seq: this.#nextSeq++ };
    const output = OutputJournal.create(this.#outputOptions(full.id));
    const entry: Entry = { exec: new Exec(this.workspace.name, full, output), record: { intent: full } };
    this.entries.set(full.id, entry);
    return entry;
  }

  /**
   * Note the process of an exec once it has lived for a while: one that is gone soon needs no name, and until then the mark
   * in its environment does.
   */
  noteProcess(entry: Entry, identify: Identify): void {
    this.#unnoted.set(entry, identify);
    this.#noting ??= setTimeout(() => this.#noteProcesses(), SHORT_LIFE_MS);
  }

  /** Those that live on. One that has just begun is noted early; that costs a line, while a timer for each would cost every exec. */
  #noteProcesses(): void {
    this.#noting = undefined;
    for (const [entry, identify] of this.#unnoted) {
      const process = entry.run === undefined ? undefined : identify();
      if (process === undefined) continue;
      entry.record.process = process;
      this.#note(entry, { type: "process", id: entry.record.intent.id, process });
    }
    this.#unnoted.clear();
  }

  noteEnd(entry: Entry, end: EndRecord): void {
    entry.record.end = end;
    this.#note(entry, { type: "end", id: entry.record.intent.id, end });
  }

  /** A full disk costs the note, not the exec. */
  #note(entry: Entry, line: JournalLine): void {
    const { id } = entry.record.intent;
    try {
      this.journal.write(line);
    } catch (error) {
      this.#log.error(
        { workspace: this.workspace.name, exec: id, err: error },
        "an exec's journal could not be written: after a restart the exec counts as lost",
      );
    }
  }

  async drop(entry: Entry): Promise<void> {
    const { id } = entry.record.intent;
    if (this.entries.get(id) === entry) this.entries.delete(id);
    try {
      this.journal.write({ type: "drop", id });
    } catch (error) {
      if (!(error instanceof HarnessError)) throw error;
    }
    await entry.exec.output.discard();
    const { spillPath } = entry.record.intent;
    if (spillPath !== undefined) await rm(spillPath, { force: true });
  }

  /** Too many have ended to wait for the next regular pruning. */
  get isOverfull(): boolean {
    return !this.#isPruning && this.entries.size - this.#running.size > this.#limits.keptExecs * 1.25 + 100;
  }

  /** Forget ended execs beyond the limits on count and age, and drop the output of the oldest beyond the limit on bytes. */
  async prune(nowMs: number = Date.now()): Promise<void> {
    this.#isPruning = true;
    try {
      await this.#prune(nowMs);
    } finally {
      this.#isPruning = false;
    }
  }

  async #prune(nowMs: number): Promise<void> {
    const ended = [...this.entries.values()].filter(({ record, exec }) => record.end !== undefined && !exec.isFollowed);
    ended.sort((a, b) => b.record.intent.seq - a.record.intent.seq);
    let bytes = 0;
    for (const [index, entry] of ended.entries()) {
      const ageMs = nowMs - (entry.record.end?.endedAtMs ?? nowMs);
      if (index >= this.#limits.keptExecs || ageMs > this.#limits.keptMs) await this.drop(entry);
      else if (bytes + entry.exec.output.stored > this.#limits.keptBytes) await discardOutput(entry);
      else bytes += entry.exec.output.stored;
    }
    await this.journal.compact([...this.entries.values()].map(({ record }) => record));
  }

  async #restore(record: ExecRecord, segments: readonly Segment[]): Promise<void> {
    const { intent, end } = record;
    const totals = end === undefined ? undefined : { bytes: end.totalBytes, newlines: end.totalLines };
    const output = await OutputJournal.restore(this.#outputOptions(intent.id), segments, totals, end?.output);
    const entry: Entry = { exec: new Exec(this.workspace.name, intent, output, end), record };
    this.entries.set(intent.id, entry);
    this.#nextSeq = Math.max(this.#nextSeq, intent.seq + 1);
    if (end !== undefined) return;
    const mark = `${EXEC_VARIABLE}=${intent.mark}`;
    if (record.process?.world === currentWorld()) new ProcessTree(record.process, mark).signal("SIGKILL");
    else killMarked(new Set([mark]));
    const lost: EndRecord = {
      cause: EndCause.LOST,
      exitCode: 0,
      signal: "",
      totalBytes: output.total,
      totalLines: await countLines(output),
      spillPath: "",
      endedAtMs: Date.now(),
      message: "hands ended while this ran, so its end was not seen; what was left of it was killed, and it was not run again",
    };
    entry.exec.markEnded(lost);
    this.noteEnd(entry, lost);
    this.#log.warn({ workspace: this.workspace.name, exec: intent.id }, "an exec was lost");
  }

  #outputOptions(id: string): { directory: string; id: string; maxBytes: number } {
    return { directory: this.#directory, id, maxBytes: this.#limits.outputBytes };
  }
}

/** The record without the output that is in it: it comes back with a restart, until the journal is rewritten. */
async function discardOutput({ exec, record }: Entry): Promise<void> {
  await exec.output.discard();
  if (record.end === undefined) return;
  const { output: _, ...end } = record.end;
  record.end = end;
}

async function countLines(output: OutputJournal): Promise<number> {
  let lines = 0;
  for (let offset = output.first; offset < output.total; ) {
    const chunks = await output.read(offset, READ_BYTES);
    const last = chunks.at(-1);
    if (last === undefined) break;
    for (const chunk of chunks) lines += countNewlines(chunk.data);
    offset = last.offset + last.data.length;
  }
  return lines;
}
