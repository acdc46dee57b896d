/** How far an address is with one message. */
export interface TargetProgress {
  /** Attempts so far. */
  readonly attempts: number;
  /** Why the last one failed. */
  readonly error?: string;
  /** When the next one is due, milliseconds since the Unix epoch. */
  readonly nextMs?: number;
  /** It is over: delivered, or given up. Absent while it goes on. */
  readonly end?: "delivered" | "dead";
}

/** How far each address is with one message, by the address's key: what is noted in the store between attempts. */
export type Progress = Readonly<Record<string, TargetProgress>>;

/** Read what {@link writeProgress} wrote; empty for a message that nobody tried to deliver. */
export function readProgress(note: string): Progress {
  return note === "" ? {} : (JSON.parse(note) as Progress);
}

export function writeProgress(progress: Progress): string {
  return JSON.stringify(progress);
}

/** What was given up begins again; what was delivered stays so. */
export function revived(progress: Progress): Progress {
  return Object.fromEntries(Object.entries(progress).map(([key, each]) => [key, each.end === "dead" ? { attempts: 0 } : each]));
}
