/** One call of a store by one of many processes, as that process wrote it down. Times in milliseconds, by the machine's steady clock. */
export interface Call {
  readonly process: string;
  readonly op: "submit" | "claim" | "heartbeat" | "append" | "finish" | "retry" | "release" | "releaseWorker" | "follow";
  /** Before it was made. */
  readonly beginMs: number;
  /** When its answer was there; absent where its process was killed before. */
  readonly endMs?: number;
  /** `ok`, the reason of a refusal, or absent: it may have happened or not. */
  readonly answer?: string;
  readonly leafId?: string;
  readonly sessionId?: string;
  readonly epoch?: number;
  /** Submit: its idempotency key, which is the leaf's prompt as well. */
  readonly key?: string;
  /** Claim and heartbeat. */
  readonly leaseMs?: number;
  /** Append: its events, each text with its key, if any. Follow: the numbers and words of what came. Finish: the result. */
  readonly texts?: readonly string[];
  readonly keyed?: boolean;
  /** Release of a worker: whose. */
  readonly worker?: string;
}

/** A leaf as it is found at the end. */
export interface Final {
  readonly leafId: string;
  readonly sessionId: string;
  readonly key: string;
  readonly state: string;
  readonly result: string | undefined;
  /** Sequence number, word, and for a claim its epoch. */
  readonly log: readonly { readonly seq: number; readonly word: string; readonly epoch?: number }[];
}

/** All that happened: every call of every process, and what the store holds at the end. */
export interface History {
  readonly calls: readonly Call[];
  readonly leaves: readonly Final[];
}

/** A line of a process's log: the begin of a call with all that it asks for, or its end with what it learned. */
export type Line = { readonly n: number } & Partial<Call>;

/** The calls that a process wrote down. A last line that was cut by its death is left out. */
export function readCalls(process: string, lines: readonly string[]): Call[] {
  const calls = new Map<number, Partial<Call>>();
  for (const text of lines) {
    if (!text.endsWith("}")) continue;
    const { n, ...fields } = JSON.parse(text) as Line;
    calls.set(n, { ...calls.get(n), ...fields });
  }
  return [...calls.values()].map((call) => ({ op: "submit", beginMs: 0, ...call, process }));
}

/** The first call was answered before the second one was made. */
export function isBefore(first: Call | undefined, second: Call | undefined): boolean {
  return first?.endMs !== undefined && second !== undefined && first.endMs < second.beginMs;
}

/** Those that are there more than once. */
export function doubles<T>(all: readonly T[]): Set<T> {
  return new Set(all.filter((each, i) => all.indexOf(each) !== i));
}
