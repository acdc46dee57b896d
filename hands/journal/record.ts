import type { EndCause, Stream } from "@serverless-harness/proto/hands";
import type { ProcessIdentity } from "../process/processes.ts";

/** What is known before an exec's process is started: written durably first, so that its id can never run twice. */
export interface Intent {
  readonly id: string;
  /** Its place among the workspace's execs, from 1. */
  readonly seq: number;
  readonly fingerprint: string;
  /** In the environment of its processes: unlike any other's, also of another daemon on the machine. */
  readonly mark: string;
  readonly preview: string;
  readonly startedAtMs: number;
  readonly killGraceMs: number;
  /** The capture that readers without one of their own get. */
  readonly capture?: CaptureRecord;
  /** Where its whole output goes if it outgrows its capture. */
  readonly spillPath?: string;
}

/** A capture's bounds; see `harness.hands.v1.Capture`. */
export interface CaptureRecord {
  readonly maxBytes: number;
  readonly maxLines: number;
  readonly retain: "head" | "tail";
  readonly spill: boolean;
}

/** How an exec ended; see `harness.hands.v1.Ended`. */
export interface EndRecord {
  readonly cause: EndCause;
  readonly exitCode: number;
  readonly signal: string;
  readonly totalBytes: number;
  readonly totalLines: number;
  readonly spillPath: string;
  readonly endedAtMs: number;
  readonly message: string;
  /** The whole output if it is small: pieces of one stream each, as base64. Else it is in files of its own. */
  readonly output?: InlineOutput;
}

/** A small output, written down in its exec's record: a file of its own takes longer to make than many a command to run. */
export type InlineOutput = ReadonlyArray<readonly [Stream, string]>;

/** One line of a workspace's journal. */
export type JournalLine =
  | { readonly type: "intent"; readonly intent: Intent }
  | { readonly type: "process"; readonly id: string; readonly process: ProcessIdentity }
  | { readonly type: "end"; readonly id: string; readonly end: EndRecord }
  | { readonly type: "drop"; readonly id: string };

/** An exec as its lines tell it. */
export interface ExecRecord {
  readonly intent: Intent;
  process?: ProcessIdentity;
  end?: EndRecord;
}

/** Something that was read is a line of a journal, with all that is relied on. */
export function isJournalLine(value: unknown): value is JournalLine {
  if (!isObject(value)) return false;
  switch (value["type"]) {
    case "intent":
      return isIntent(value["intent"]);
    case "process":
      return typeof value["id"] === "string" && isProcess(value["process"]);
    case "end":
      return typeof value["id"] === "string" && isEnd(value["end"]);
    case "drop":
      return typeof value["id"] === "string";
    default:
      return false;
  }
}

function isIntent(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { capture, spillPath } = value;
  return (
    areStrings(value, ["id", "fingerprint", "mark", "preview"]) &&
    areCounts(value, ["seq", "startedAtMs", "killGraceMs"]) &&
    (capture === undefined || (isObject(capture) && areCounts(capture, ["maxBytes", "maxLines"]))) &&
    (spillPath === undefined || typeof spillPath === "string")
  );
}

/** A pid below 2 would stand for more than a process of ours. */
function isProcess(value: unknown): boolean {
  return isObject(value) && areCounts(value, ["pid"]) && Number(value["pid"]) > 1 && areStrings(value, ["startTicks", "world"]);
}

function isEnd(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { output } = value;
  return (
    areCounts(value, ["cause", "totalBytes", "totalLines", "endedAtMs"]) &&
    Number.isSafeInteger(value["exitCode"]) &&
    areStrings(value, ["signal", "spillPath", "message"]) &&
    (output === undefined || (Array.isArray(output) && output.every((piece) => Array.isArray(piece) && typeof piece[1] === "string")))
  );
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function areStrings(value: Readonly<Record<string, unknown>>, names: readonly string[]): boolean {
  return names.every((name) => typeof value[name] === "string");
}

function areCounts(value: Readonly<Record<string, unknown>>, names: readonly string[]): boolean {
  return names.every((name) => Number.isSafeInteger(value[name]) && Number(value[name]) >= 0);
}

/** Put lines together into the execs that they tell of, in order of their start. */
export function recordsOf(lines: Iterable<JournalLine>): Map<string, ExecRecord> {
  const records = new Map<string, ExecRecord>();
  for (const line of lines) {
    if (line.type === "intent") records.set(line.intent.id, { intent: line.intent });
    else if (line.type === "drop") records.delete(line.id);
    else {
      const record = records.get(line.id);
      if (record !== undefined && line.type === "process") record.process = line.process;
      if (record !== undefined && line.type === "end") record.end = line.end;
    }
  }
  return records;
}

export function linesOf(record: ExecRecord): JournalLine[] {
  const { id } = record.intent;
  return [
    { type: "intent", intent: record.intent },
    ...(record.process === undefined ? [] : [{ type: "process" as const, id, process: record.process }]),
    ...(record.end === undefined ? [] : [{ type: "end" as const, id, end: record.end }]),
  ];
}
