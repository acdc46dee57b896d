import { Stream } from "@serverless-harness/proto/hands";
import { spec } from "../fixtures/sandbox.ts";

/** What a command does. `write`: both streams, then an exit code; `read`: cat; `sleep`: until it is killed; `stay`: the same, deaf to SIGTERM. */
export const KINDS = ["write", "read", "sleep", "stay"] as const;
export type Kind = (typeof KINDS)[number];

const LINES = 400;
const BODY: Record<Kind, (code: number) => string> = {
  write: (code) => `for ((i = 0; i < ${LINES}; i++)); do echo "out $i"; ((i % 3)) || echo "err $i" >&2; done; exit ${code}`,
  read: (code) => `cat; exit ${code}`,
  sleep: () => "echo up; exec sleep 1000",
  stay: () => "trap '' TERM; echo up; while :; do sleep 1000; done",
};

/** How one stream of an exec is read now: what was asked for, and what came. */
export interface Reading {
  from: number;
  state: "opening" | "open" | "closed";
  /** First byte that has to come next. */
  next: number;
  /** Output bytes that may still come. */
  credit: number;
  /** What {@link credit} becomes with the `started` that is on its way. */
  initialCredit: number;
}

/** One exec as a client must find it, whatever was asked in whatever order. */
export class ModelExec {
  readonly spec: ReturnType<typeof spec>;
  readonly kind: Kind;
  readonly exitCode: number;
  readonly marker: string;
  wasAsked = false;
  wasSeen = false;
  reading: Reading = { from: 0, state: "closed", next: 0, credit: 0, initialCredit: 0 };
  /** Input that hands confirmed, and what it may or may not have got before a cut. */
  given: string[] = [];
  unconfirmed: string[] = [];
  maybeGiven: string[] = [];
  isInputOver = false;
  room = 0;
  /** What was sent that can end it. */
  readonly sent = { signal: false, cancel: false };
  /** Every byte that came, by offset, with its stream in the high byte. */
  readonly #seen: number[] = [];
  /** Ends that came, as text: all must be the same. */
  readonly ends = new Set<string>();
  #serial = 0;

  constructor(prefix: string, index: number, kind: Kind) {
    this.kind = kind;
    this.exitCode = kind === "write" || kind === "read" ? index + 3 : 0;
    this.marker = `${prefix}.${index}`;
    this.spec = spec(`printf x >> ran.${this.marker}; ${BODY[kind](this.exitCode)}`, {
      execId: this.marker,
      stdinOpen: kind === "read",
      killGraceMs: 50n,
    });
  }

  /** A piece of input that tells its place. */
  nextInput(size: number): string {
    return `${this.#serial++}:${"i".repeat(size)}\n`;
  }

  /** Begin to read anew. */
  open(from: number, initialCredit: number): void {
    this.wasAsked = true;
    this.room = 0;
    this.reading = { ...this.reading, from, state: "opening", initialCredit };
  }

  started(): void {
    const { from, initialCredit, state } = this.reading;
    if (state !== "opening") throw new Error(`${this.marker}: started came in state ${state}`);
    this.wasSeen = true;
    this.reading = { from, state: "open", next: from, credit: initialCredit, initialCredit };
  }

  /** Take output; throws where it isn't what has to come next, or beyond the credit. */
  output(offset: number, stream: Stream, data: Uint8Array): void {
    const { reading } = this;
    if (reading.state === "closed") throw new Error(`${this.marker}: output though nobody reads`);
    if (offset !== reading.next) throw new Error(`${this.marker}: byte ${offset} came where ${reading.next} had to`);
    reading.next += data.length;
    reading.credit -= data.length;
    if (reading.credit < 0) throw new Error(`${this.marker}: ${-reading.credit} bytes beyond the credit`);
    for (const [i, byte] of data.entries()) {
      const value = (stream << 8) | byte;
      const before = this.#seen[offset + i];
      if (before !== undefined && before !== value) throw new Error(`${this.marker}: byte ${offset + i} is another than before`);
      this.#seen[offset + i] = value;
    }
  }

  /** Its channel was cut, or it was detached from. */
  close(): void {
    this.reading.state = "closed";
  }

  /** What was written to a stream, where everything was seen from the first byte on. */
  textOf(stream: Stream): string {
    const bytes: number[] = [];
    for (let at = 0; at < this.#seen.length; at++) {
      const value = this.#seen[at];
      if (value === undefined) throw new Error(`${this.marker}: byte ${at} never came`);
      if (value >> 8 === stream) bytes.push(value & 255);
    }
    return Buffer.from(bytes).toString();
  }

  /** What its command may have left in its file: one mark, where it got so far before it was ended. */
  possibleMarks(): string[] {
    if (!this.wasSeen) return [""];
    return this.sent.signal || this.sent.cancel ? (this.#seen.length > 0 ? ["x"] : ["", "x"]) : ["x"];
  }

  /** Throws where what it wrote is not what its command writes; `whole`: it ended by itself. */
  checkText(whole: boolean): void {
    const fits = (text: string, expected: string) => (whole ? text === expected : expected.startsWith(text));
    const [out, err] = [this.textOf(Stream.STDOUT), this.textOf(Stream.STDERR)];
    const lines = (name: string, step: number) =>
      Array.from({ length: Math.ceil(LINES / step) }, (_, i) => `${name} ${i * step}\n`).join("");
    const isRight = {
      write: () => fits(out, lines("out", 1)) && fits(err, lines("err", 3)),
      read: () => this.#possibleInputs().some((input) => fits(out, input)) && err === "",
      sleep: () => "up\n".startsWith(out) && err === "",
      stay: () => "up\n".startsWith(out) && err === "",
    }[this.kind]();
    if (!isRight) throw new Error(`${this.marker} (${this.kind}) wrote something else: ${JSON.stringify({ out, err, given: this.given })}`);
  }

  #possibleInputs(): string[] {
    const sure = this.given.join("");
    return [...this.maybeGiven, ""].map((_, count) => sure + this.maybeGiven.slice(0, count).join(""));
  }
}
