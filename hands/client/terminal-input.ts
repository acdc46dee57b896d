import type { MessageInitShape } from "@bufbuild/protobuf";
import { newId } from "@serverless-harness/kit/ids";
import type { TerminalServiceAttachRequestSchema } from "@serverless-harness/proto/hands";

/** A message of a watcher, as it is written down. */
export type Outgoing = MessageInitShape<typeof TerminalServiceAttachRequestSchema>;

type Input =
  | { readonly case: "data"; readonly value: Uint8Array }
  | { readonly case: "resize"; readonly value: { columns: number; rows: number } };

/** Bytes in one message; hands takes no more. */
const PIECE_BYTES = 64 * 1024;
/** Messages that may be on their way; hands remembers 1000 ids, and other watchers have some of them. */
const MOST_UNCONFIRMED = 200;

/** What a watcher typed and hands has not confirmed, in order. On another stream it is sent again under the same ids. */
export class TerminalInput {
  readonly #prefix = newId("in");
  readonly #waiting: Array<{ readonly id: string; readonly input: Input }> = [];
  #count = 0;
  /** How many of those that wait were put on the stream as it stands. */
  #sent = 0;
  #send: ((message: Outgoing) => void) | undefined;

  write(data: Uint8Array): void {
    for (let start = 0; start < data.length; start += PIECE_BYTES) {
      // A copy: the caller may use its buffer again before this is confirmed.
      this.#add({ case: "data", value: data.slice(start, start + PIECE_BYTES) });
    }
  }

  resize(columns: number, rows: number): void {
    this.#add({ case: "resize", value: { columns, rows } });
  }

  /** A stream is open: everything that is not confirmed goes over it. `undefined`: it is over. */
  over(send: ((message: Outgoing) => void) | undefined): void {
    this.#send = send;
    this.#sent = 0;
    this.#flush();
  }

  /** Hands took this one and all before it. */
  confirm(id: string): void {
    const index = this.#waiting.findIndex((waiting) => waiting.id === id);
    this.#waiting.splice(0, index + 1);
    this.#sent = Math.max(0, this.#sent - (index + 1));
    this.#flush();
  }

  #add(input: Input): void {
    this.#waiting.push({ id: `${this.#prefix}.${++this.#count}`, input });
    this.#flush();
  }

  #flush(): void {
    while (this.#send !== undefined && this.#sent < MOST_UNCONFIRMED) {
      const next = this.#waiting[this.#sent];
      if (next === undefined) return;
      this.#sent++;
      this.#send({ request: { case: "act", value: { inputId: next.id, input: next.input } } });
    }
  }
}
