import { writeSync } from "node:fs";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Call } from "./history.ts";

type Fields = Omit<Partial<Call>, "process" | "op" | "beginMs" | "endMs" | "answer">;

/** Writes down every call, before it is made and behind its answer. */
export class Recorder {
  readonly #print: (line: string) => void;
  #calls = 0;

  /** `print`: default to standard output, before it returns, so that it is there whatever kills the process next. */
  constructor(print: (line: string) => void = (line) => void writeSync(1, `${line}\n`)) {
    this.#print = print;
  }

  /** Make a call; `learned`: what its answer says. Resolves with nothing where the store refused, and rejects where it failed otherwise. */
  async record<T>(
    op: Call["op"],
    asked: Fields,
    call: () => Promise<T>,
    learned: (answer: T) => Fields = () => ({}),
  ): Promise<T | undefined> {
    const n = this.begin(op, asked);
    try {
      const answer = await call();
      this.write({ n, ...learned(answer), endMs: steadyMs(), answer: "ok" });
      return answer;
    } catch (error) {
      if (!(error instanceof HarnessError)) throw error;
      this.write({ n, endMs: steadyMs(), answer: error.reason });
      return undefined;
    }
  }

  /** Note that a call is about to be made; returns its number. */
  begin(op: Call["op"], asked: Fields): number {
    this.#calls++;
    this.write({ n: this.#calls, op, ...asked, beginMs: steadyMs() });
    return this.#calls;
  }

  write(line: object): void {
    this.#print(JSON.stringify(line));
  }
}

/** The machine's steady clock, the same in all of its processes, in milliseconds. */
export function steadyMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Numbers from 0 to 1 that a seed determines. */
export function randomOf(seed: number): () => number {
  let state = seed | 0;
  return () => {
    // A linear step, then the bits are stirred (mulberry32).
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}
