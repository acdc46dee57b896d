import { Code, ConnectError } from "@connectrpc/connect";
import { Pieces } from "./pieces.ts";

/** Flags, then the length of the payload, big-endian (https://connectrpc.com/docs/protocol, "Streaming RPCs"). */
const HEADER_BYTES = 5;
/** The payload is compressed. */
export const COMPRESSED_FLAG = 1;
/** The payload is how the stream ended, as JSON. */
export const END_FLAG = 2;

/** One message on the wire, or the end of the stream. The payload is valid until the next one is taken. */
export interface Envelope {
  readonly flags: number;
  readonly data: Uint8Array;
}

/** The bytes in front of a payload. */
export function envelopeHeader(flags: number, length: number): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  header[0] = flags;
  header.writeUInt32BE(length, 1);
  return header;
}

/** An envelope in one piece. */
export function enveloped(flag: number, data: Uint8Array): Uint8Array {
  return Buffer.concat([envelopeHeader(flag, data.length), data]);
}

/** Cuts a byte stream into envelopes, without copying those that came in one piece. */
export class EnvelopeReader {
  readonly #maxBytes: number;
  /** Of an envelope that is not complete, and the size at which it is worth a look. */
  readonly #pieces = new Pieces();
  #wanted = HEADER_BYTES;

  /** `maxBytes`: largest payload. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes of an envelope came, but not all. */
  get isPartial(): boolean {
    return this.#pieces.size > 0;
  }

  /** The envelopes that are complete with this chunk. Throws `resource_exhausted` for one that is too large. */
  push(chunk: Uint8Array): Envelope[] {
    this.#pieces.push(chunk);
    if (this.#pieces.size < this.#wanted) return [];
    return this.#cut(this.#pieces.joined());
  }

  #cut(bytes: Uint8Array): Envelope[] {
    const envelopes: Envelope[] = [];
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = 0;
    this.#wanted = HEADER_BYTES;
    while (bytes.length - at >= HEADER_BYTES) {
      const length = view.getUint32(at + 1);
      if (length > this.#maxBytes) throw tooLarge(length, this.#maxBytes);
      const end = at + HEADER_BYTES + length;
      if (end > bytes.length) {
        this.#wanted = end - at;
        break;
      }
      envelopes.push({ flags: view.getUint8(at), data: bytes.subarray(at + HEADER_BYTES, end) });
      at = end;
    }
    this.#pieces.clear();
    if (at < bytes.length) this.#pieces.push(bytes.subarray(at));
    return envelopes;
  }
}

function tooLarge(length: number, maxBytes: number): ConnectError {
  return new ConnectError(`a message of ${length} bytes is larger than ${maxBytes}, the limit`, Code.ResourceExhausted);
}
