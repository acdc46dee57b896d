import { Code } from "@connectrpc/connect";
import type { Entry, UsageRow } from "@earendil-works/pi-agent-core";
import { HarnessError } from "@serverless-harness/kit/errors";

/** The first line of an archive: format 4 of Pi's own files of lines. */
export interface ArchiveHeader {
  readonly v: 4;
  readonly kind: "header";
  readonly id: string;
  readonly storageVersion: 1;
  readonly createdAt: number;
  /** Pi's files belong to a directory; ours to none, which is `/`. */
  readonly cwd: string;
  readonly nextSeq?: number;
  readonly parentSessionId?: string;
}

/** A write as an archive holds it: with its number. */
export type ArchivedWrite =
  | ({ readonly kind: "entry" } & Entry)
  | ({ readonly kind: "usage" } & UsageRow)
  | {
      readonly kind: "value";
      readonly op: "set";
      readonly seq: number;
      readonly namespace: string;
      readonly key: string;
      readonly value: unknown;
    }
  | { readonly kind: "value"; readonly op: "delete"; readonly seq: number; readonly namespace: string; readonly key: string }
  | {
      readonly kind: "list";
      readonly op: "append";
      readonly seq: number;
      readonly namespace: string;
      readonly key: string;
      readonly value: unknown;
    }
  | { readonly kind: "list"; readonly op: "delete"; readonly seq: number; readonly namespace: string; readonly key: string };

type Fields = Readonly<Record<string, unknown>>;

const NEEDED: Readonly<Record<string, Readonly<Record<string, (value: unknown) => boolean>>>> = {
  message: { message: (value) => isObject(value) && typeof value["role"] === "string" },
  compaction: { summary: isText, retainedTail: Array.isArray, tokensBefore: isNumber, fromHook: isBoolean },
  branch_summary: { fromId: (value) => value === null || isText(value), summary: isText, fromHook: isBoolean },
  custom: { customType: isText },
};

/** Reads an archive line by line. Throws INVALID_ARGUMENT `archive_malformed` with the line's number and the field. */
export class ArchiveReader {
  #line = 0;
  #seq = 0;

  /** The first line. */
  header(line: string | undefined): ArchiveHeader {
    this.#line++;
    const value = this.#object(line === undefined ? undefined : this.#parse(line), "header");
    this.#need(value["kind"] === "header", "kind", "is not header");
    this.#need(value["v"] === 4, "v", "is not 4");
    this.#need(isText(value["id"]), "id", "is no text");
    this.#need(value["storageVersion"] === 1, "storageVersion", "is not 1");
    this.#need(isCount(value["createdAt"]), "createdAt", "is no time in milliseconds");
    this.#need(isText(value["cwd"]), "cwd", "is no text");
    this.#need(value["nextSeq"] === undefined || isCount(value["nextSeq"]), "nextSeq", "is no number");
    this.#need(value["parentSessionId"] === undefined || isText(value["parentSessionId"]), "parentSessionId", "is no text");
    return value as unknown as ArchiveHeader;
  }

  /** Each line after it: one write, or those of a commit. */
  writes(line: string): ArchivedWrite[] {
    this.#line++;
    const value = this.#parse(line);
    return (Array.isArray(value) ? value : [value]).map((each) => this.#write(this.#object(each, "write")));
  }

  /** The number of the last line that was read. */
  get line(): number {
    return this.#line;
  }

  #write(value: Fields): ArchivedWrite {
    const { kind, op, seq } = value;
    this.#need(isCount(seq) && Number(seq) > this.#seq, "seq", "is no number above the one before it");
    this.#seq = Number(seq);
    if (kind === "entry") this.#entry(value);
    else if (kind === "usage") this.#usage(value);
    else {
      this.#need(kind === "value" || kind === "list", "kind", "is none of entry, usage, value, list");
      this.#need(op === "delete" || op === (kind === "value" ? "set" : "append"), "op", "is unknown");
      this.#need(isText(value["namespace"]), "namespace", "is no text");
      this.#need(isText(value["key"]), "key", "is no text");
      this.#need(op === "delete" || value["value"] !== undefined, "value", "is missing");
    }
    return value as ArchivedWrite;
  }

  #entry(value: Fields): void {
    const { id, parentId, timestamp, type } = value;
    this.#need(isText(id) && id !== "", "id", "is no id");
    this.#need(parentId === null || isText(parentId), "parentId", "is neither an id nor null");
    this.#need(isCount(timestamp), "timestamp", "is no time in milliseconds");
    const needed = typeof type === "string" && Object.hasOwn(NEEDED, type) ? NEEDED[type] : undefined;
    this.#need(needed !== undefined, "type", "is none of message, compaction, branch_summary, custom");
    for (const [field, fits] of Object.entries(needed ?? {})) this.#need(fits(value[field]), field, `is missing or wrong for type ${type}`);
  }

  #usage(value: Fields): void {
    this.#need(isText(value["id"]) && value["id"] !== "", "id", "is no id");
    this.#need(isBoolean(value["adjustment"]), "adjustment", "is no boolean");
    const usage = this.#object(value["usage"], "usage");
    for (const field of ["input", "output", "cacheRead", "cacheWrite", "totalTokens"])
      this.#need(isNumber(usage[field]), `usage.${field}`, "is no number");
    const cost = this.#object(usage["cost"], "usage.cost");
    for (const field of ["input", "output", "cacheRead", "cacheWrite", "total"])
      this.#need(isNumber(cost[field]), `usage.cost.${field}`, "is no number");
  }

  #parse(line: string): unknown {
    try {
      return JSON.parse(line);
    } catch {
      throw malformed(this.#line, "", "is not valid JSON");
    }
  }

  #object(value: unknown, field: string): Fields {
    if (!isObject(value)) throw malformed(this.#line, field, "is no object");
    return value;
  }

  #need(fits: boolean, field: string, why: string): void {
    if (!fits) throw malformed(this.#line, field, why);
  }
}

/** What is wrong with an archive, and where. */
export function malformed(line: number, field: string, why: string): HarnessError {
  const where = field === "" ? `line ${line}` : `line ${line}, ${field}`;
  const metadata = { line: String(line), field };
  return new HarnessError(Code.InvalidArgument, "archive_malformed", `${where}: ${why}; nothing was imported`, { metadata });
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isNumber(value: unknown): boolean {
  return typeof value === "number" && Number.isFinite(value);
}

function isBoolean(value: unknown): boolean {
  return typeof value === "boolean";
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
