import type { Outgoing } from "./channel.ts";

/** Most bytes of one message. */
const PIECE_BYTES = 256 * 1024;

type Message = NonNullable<Outgoing["request"]>;

/** Input for one exec that hands may not have: it is sent when hands has room for it, and kept until hands confirms that it came. */
export class InputQueue {
  readonly #name: { readonly execId: string; readonly workspace: string };
  readonly #send: (message: Message) => bigint;
  /** Not sent yet. */
  #waiting: Uint8Array[] = [];
  /** Bytes of the first one that were sent. */
  #at = 0;
  #isClosing = false;
  #isCloseSent = false;
  /** Numbers that confirm what was sent, in order. */
  #unconfirmed: bigint[] = [];
  /** Bytes that hands has room for. */
  #credit = 0;
  /** Hands follows the exec on the channel as it stands. */
  #isLive = false;

  /** `send`: send a message; what it returns is passed to {@link confirm} once hands has it. */
  constructor(name: { readonly execId: string; readonly workspace: string }, send: (message: Message) => bigint) {
    this.#name = name;
    this.#send = send;
  }

  /** Something was sent of which it isn't known whether it came. */
  get isUnconfirmed(): boolean {
    return this.#unconfirmed.length > 0;
  }

  write(data: Uint8Array): void {
    if (data.length > 0 && !this.#isClosing) this.#waiting.push(data);
    this.#flush();
  }

  /** No more comes. */
  close(): void {
    this.#isClosing = true;
    this.#flush();
  }

  allow(bytes: number): void {
    this.#credit += bytes;
    this.#flush();
  }

  confirm(sent: bigint): void {
    while (this.#unconfirmed[0] !== undefined && this.#unconfirmed[0] <= sent) this.#unconfirmed.shift();
  }

  /** The exec is followed: input may be sent. */
  start(): void {
    this.#isLive = true;
    this.#flush();
  }

  /** It is no longer followed, or the stream is new: hands will say again how much room it has. */
  stop(): void {
    this.#isLive = false;
    this.#credit = 0;
  }

  clear(): void {
    this.stop();
    this.#waiting = [];
    this.#unconfirmed = [];
  }

  #flush(): void {
    if (!this.#isLive) return;
    for (let data = this.#waiting[0]; data !== undefined && this.#credit > 0; data = this.#waiting[0]) {
      const piece = data.subarray(this.#at, this.#at + Math.min(PIECE_BYTES, this.#credit));
      this.#credit -= piece.length;
      this.#at += piece.length;
      this.#unconfirmed.push(this.#send({ case: "stdin", value: { ...this.#name, data: piece } }));
      if (this.#at < data.length) continue;
      this.#at = 0;
      this.#waiting.shift();
    }
    if (this.#isClosing && this.#waiting.length === 0 && !this.#isCloseSent) {
      this.#isCloseSent = true;
      this.#unconfirmed.push(this.#send({ case: "closeStdin", value: this.#name }));
    }
  }
}
