import { Code } from "@connectrpc/connect";
import { HarnessError, type Violation } from "@serverless-harness/kit/errors";
import { isObject } from "@serverless-harness/kit/json-schema/well-formed";
import { type NumberedDecision, numberedDecision } from "../numbered-decision.ts";

/** What a review leaf judges. */
export interface ReviewItem {
  readonly itemId: string;
  readonly file: string;
  readonly pattern: string;
  readonly requireApproval: boolean;
}

/** What a run works on. */
export type RunWork =
  | { readonly kind: "review"; readonly item: ReviewItem }
  | { readonly kind: "solve"; readonly problem: string; readonly envKey: string }
  /** The item is in the file that the run's `files` name. */
  | { readonly kind: "file" };

/** Files on the volume that a run is read from and written to. Empty: not said. */
export interface RunFiles {
  readonly inputsRef: string;
  readonly resultRef: string;
  readonly doneMarkerRef: string;
  readonly gateRef: string;
  readonly decisionRef: string;
}

/** The body of `POST /runs`. */
export interface RunEnvelope {
  /** As sent. */
  readonly sessionId: string;
  readonly tenant: string;
  readonly work: RunWork;
  readonly async: boolean;
  /** Empty: not said. */
  readonly repoUrl: string;
  readonly ref: string;
  readonly workspaceRef: string;
  readonly model: string;
  readonly provider: string;
  /** 0: not said. */
  readonly maxTurns: number;
  readonly decision: NumberedDecision | undefined;
  readonly files: RunFiles | undefined;
}

const MAX_SESSION_ID = 1024;
const MAX_TENANT = 128;
const MAX_NAME_BYTES = 4096;
const MAX_PATTERN_BYTES = 64 * 1024;
const MAX_PROBLEM_BYTES = 1024 * 1024;
const MAX_FEEDBACK_BYTES = 64 * 1024;
const MAX_TURNS = 1_000_000;

/** Longest text of each field, in bytes. */
const MAX_BYTES: Readonly<Record<string, number>> = {
  sessionId: MAX_SESSION_ID,
  tenant: MAX_TENANT,
  problemStatement: MAX_PROBLEM_BYTES,
  "item.pattern": MAX_PATTERN_BYTES,
  "decision.feedback": MAX_FEEDBACK_BYTES,
};

/** Reads fields of a body, and collects what is wrong with them. */
export class Fields {
  readonly problems: Violation[] = [];
  readonly #body: Readonly<Record<string, unknown>>;

  constructor(body: Readonly<Record<string, unknown>>) {
    this.#body = body;
  }

  /** A text that has to be there. It may be empty. */
  text(name: string): string {
    const value = this.#valueAt(name);
    if (typeof value !== "string") this.#fail(name, "must be a string");
    return typeof value === "string" ? this.#bounded(name, value) : "";
  }

  /** A text that may be left out, or be null: empty then. */
  optional(name: string): string {
    return (this.#valueAt(name) ?? undefined) === undefined ? "" : this.text(name);
  }

  #valueAt(name: string): unknown {
    return name
      .split(".")
      .reduce<unknown>((value, part) => (isObject(value) && Object.hasOwn(value, part) ? value[part] : undefined), this.#body);
  }

  #bounded(name: string, value: string): string {
    const max = MAX_BYTES[name] ?? MAX_NAME_BYTES;
    if (Buffer.byteLength(value) > max) this.#fail(name, `must be at most ${max} bytes`);
    if (!value.isWellFormed()) this.#fail(name, "must be valid Unicode");
    return value;
  }

  #fail(field: string, description: string): void {
    this.problems.push({ field, description });
  }
}

/** Read a body. INVALID_ARGUMENT `envelope_invalid` lists every field that can't be used. Fields that are not known are passed over. */
export function readEnvelope(body: Readonly<Record<string, unknown>>): RunEnvelope {
  const fields = new Fields(body);
  const sessionId = fields.text("sessionId");
  const files = readFiles(fields, body);
  if (files !== undefined && !isObject(body["item"]) && body["kind"] !== "solve")
    return checked(fields, { ...common(fields, body, sessionId, files), work: { kind: "file" } });
  const isReview = body["kind"] !== "solve" || (isObject(body["item"]) && !hasSolve(body));
  const work = isReview ? readReview(fields, body["item"]) : readSolve(fields);
  if (!isReview) for (const name of ["repoUrl", "ref"]) fields.text(name);
  return checked(fields, { ...common(fields, body, sessionId, files), work });
}

function checked(fields: Fields, envelope: RunEnvelope): RunEnvelope {
  if (fields.problems.length > 0) throw envelopeInvalid(fields.problems);
  return envelope;
}

/** What all envelopes have. */
function common(
  fields: Fields,
  body: Readonly<Record<string, unknown>>,
  sessionId: string,
  files: RunFiles | undefined,
): Omit<RunEnvelope, "work"> {
  return {
    sessionId,
    tenant: fields.optional("tenant"),
    async: body["async"] === true,
    repoUrl: fields.optional("repoUrl"),
    ref: fields.optional("ref"),
    workspaceRef: fields.optional("workspaceRef"),
    model: fields.optional("model"),
    provider: fields.optional("provider"),
    maxTurns: turns(body["maxTurns"]),
    decision: readDecision(fields, body["decision"]),
    files,
  };
}

/** An envelope that names both inputs and result is one of files. */
function readFiles(fields: Fields, { inputsRef, resultRef }: Readonly<Record<string, unknown>>): RunFiles | undefined {
  if (typeof inputsRef !== "string" || typeof resultRef !== "string") return undefined;
  const [doneMarkerRef, gateRef, decisionRef] = ["doneMarkerRef", "gateRef", "decisionRef"].map((name) => fields.optional(name));
  return {
    inputsRef: fields.text("inputsRef"),
    resultRef: fields.text("resultRef"),
    doneMarkerRef: doneMarkerRef ?? "",
    gateRef: gateRef ?? "",
    decisionRef: decisionRef ?? "",
  };
}

/** An item that a file holds. INVALID_ARGUMENT `envelope_invalid` lists every field that can't be used. */
export function readItem(item: Readonly<Record<string, unknown>>): ReviewItem {
  const fields = new Fields({ item });
  const { item: read } = readReview(fields, item);
  if (fields.problems.length > 0) throw envelopeInvalid(fields.problems);
  return read;
}

/** A decision that a file holds, or none. */
export function decisionIn(value: unknown): NumberedDecision | undefined {
  const fields = new Fields({ decision: value });
  const decision = readDecision(fields, value);
  return fields.problems.length > 0 ? undefined : decision;
}

/** The error for an envelope that can't be used, with what is wrong in the words of its own fields. */
export function envelopeInvalid(problems: readonly Violation[]): HarnessError {
  const list = problems.map(({ field, description }) => `${field}: ${description}`).join("; ");
  return new HarnessError(Code.InvalidArgument, "envelope_invalid", list, { violations: problems });
}

/** All that a solve needs is there. */
function hasSolve(body: Readonly<Record<string, unknown>>): boolean {
  return ["problemStatement", "repoUrl", "ref"].every((name) => typeof body[name] === "string");
}

function readReview(fields: Fields, item: unknown): Extract<RunWork, { kind: "review" }> {
  const [itemId, file, pattern] = [fields.text("item.item_id"), fields.text("item.file"), fields.text("item.pattern")];
  const requireApproval = isObject(item) && item["require_approval"] === true;
  return { kind: "review", item: { itemId, file, pattern, requireApproval } };
}

function readSolve(fields: Fields): RunWork {
  return { kind: "solve", problem: fields.text("problemStatement"), envKey: fields.optional("env_key") };
}

/** A decision that can't be read is none: the gate stays open. Only one that would be lost for its length is refused. */
function readDecision(fields: Fields, value: unknown): NumberedDecision | undefined {
  const decision = numberedDecision(value);
  if (decision !== undefined) fields.optional("decision.feedback");
  return decision;
}

function turns(value: unknown): number {
  return typeof value === "number" && value > 0 ? Math.min(Math.max(1, Math.floor(value)), MAX_TURNS) : 0;
}
