import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";

/** Room that is free again is told in pieces of this many bytes: a keystroke is no news. */
const STEP_BYTES = 64 * 1024;

/** Input of one giver that was accepted, and what of it the command didn't read yet. */
interface Piece {
  readonly giver: StdinGiver;
  /** How many givers had come by then. */
  readonly joins: number;
  left: number;
}

/** Somebody who gives an exec input, and is told how much more it may give. */
export class StdinGiver {
  /** Which giver it is, counted from 1. */
  readonly number: number;
  readonly #onCredit: (bytes: number) => void;
  readonly #onLeave: (giver: StdinGiver) => void;
  #owed = 0;

  constructor(number: number, onCredit: (bytes: number) => void, onLeave: (giver: StdinGiver) => void) {
    this.number = number;
    this.#onCredit = onCredit;
    this.#onLeave = onLeave;
  }

  /** This many more bytes may be given. */
  owe(bytes: number): void {
    this.#owed += bytes;
    if (this.#owed < STEP_BYTES) return;
    const bytesOwed = this.#owed;
    this.#owed = 0;
    this.#onCredit(bytesOwed);
  }

  leave(): void {
    this.#onLeave(this);
  }
}

/**
 * Bounds the input that waits for a command. Whoever gives some is told at first how much room there is, and then, as
 * the command reads, of its own bytes and of those that were in its way when it came. So one giver always knows its
 * room exactly; several may find it taken.
 */
export class StdinRoom {
  readonly #limitBytes: number;
  readonly #execId: string;
  readonly #givers = new Set<StdinGiver>();
  readonly #pieces: Piece[] = [];
  #pending = 0;
  #joins = 0;
  #isOpen: boolean;

  constructor(options: { readonly execId: string; readonly limitBytes: number; readonly isOpen: boolean }) {
    this.#execId = options.execId;
    this.#limitBytes = options.limitBytes;
    this.#isOpen = options.isOpen;
  }

  /** Begin to give. `onCredit` gets the bytes that may be given: at once those that there is room for. `undefined` if no input is taken. */
  join(onCredit: (bytes: number) => void): StdinGiver | undefined {
    if (!this.#isOpen) return undefined;
    const giver = new StdinGiver(++this.#joins, onCredit, (gone) => this.#givers.delete(gone));
    this.#givers.add(giver);
    onCredit(this.#limitBytes - this.#pending);
    return giver;
  }

  /** Accept this many bytes. RESOURCE_EXHAUSTED `limit_reached` if they don't fit; FAILED_PRECONDITION `stdin_closed`. */
  accept(giver: StdinGiver | undefined, bytes: number): void {
    if (!this.#isOpen || giver === undefined) throw stdinClosed(this.#execId);
    assertStdinFits(this.#execId, this.#pending + bytes, this.#limitBytes);
    this.#pending += bytes;
    const last = this.#pieces.at(-1);
    if (last?.giver === giver && last.joins === this.#joins) last.left += bytes;
    else this.#pieces.push({ giver, joins: this.#joins, left: bytes });
  }

  /** No more input is taken. */
  close(): void {
    this.#isOpen = false;
  }

  /** The command read this many bytes, or they will never be read. */
  free(bytes: number): void {
    let left = Math.min(bytes, this.#pending);
    this.#pending -= left;
    for (let piece = this.#pieces[0]; piece !== undefined && left > 0; piece = this.#pieces[0]) {
      const freed = Math.min(piece.left, left);
      left -= freed;
      piece.left -= freed;
      for (const giver of this.#givers) if (giver === piece.giver || piece.joins < giver.number) giver.owe(freed);
      if (piece.left === 0) this.#pieces.shift();
    }
  }
}

/** RESOURCE_EXHAUSTED `limit_reached` if more than `limitBytes` would wait for a command. */
export function assertStdinFits(execId: string, bytes: number, limitBytes: number): void {
  if (bytes <= limitBytes) return;
  throw new HarnessError(
    Code.ResourceExhausted,
    "limit_reached",
    `more than ${limitBytes} bytes of input wait for exec ${execId}, the limit stdin_bytes: send no more than stdin_credit allows`,
    { metadata: { limit: "stdin_bytes", value: String(limitBytes) } },
  );
}

function stdinClosed(execId: string): HarnessError {
  return new HarnessError(
    Code.FailedPrecondition,
    "stdin_closed",
    `exec ${execId} takes no input: it was closed, or the exec was not started with stdin_open`,
  );
}
