/** A request that was seen. It never holds a key. */
export interface RequestRecord {
  /** When its head arrived, milliseconds since the Unix epoch. */
  readonly at_ms: number;
  /** Empty if the request was refused before its body was read. */
  model: string;
  /** Messages in its transcript. */
  messages: number;
  stream: boolean;
  /** How many tokens the model may think; 0: none. */
  thinking: number;
  /** HTTP status of the answer; 0 while there is none. */
  status: number;
  /** What answered: `script 0` (the step, from 0), `script over`, `summary`, `persona`; empty if it was refused. */
  step: string;
  /** `open`, `complete`, `cut` (by the script) or `client_gone`. */
  outcome: "open" | "complete" | "cut" | "client_gone";
}

/** How many records are kept. */
const LIMIT = 1000;

/** The newest requests, oldest first. */
export class RequestLog {
  readonly #records: RequestRecord[] = [];

  /** Record a request that has just arrived. */
  add(): RequestRecord {
    const blank = { model: "", messages: 0, stream: false, thinking: 0, status: 0, step: "" };
    const record: RequestRecord = { at_ms: Date.now(), ...blank, outcome: "open" };
    this.#records.push(record);
    if (this.#records.length > LIMIT) this.#records.shift();
    return record;
  }

  list(): readonly RequestRecord[] {
    return this.#records;
  }
}
