import { Code, ConnectError } from "@connectrpc/connect";

/** Flags, then the length of the payload, big-endian (https://connectrpc.com/docs/protocol, "Streaming RPCs"). */
const HEADER_BYTES = 5;
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

/** Cuts a byte stream into envelopes, without copying those that came in one piece. */
export class EnvelopeReader {
  readonly #maxBytes: number;
  /** Pieces of an envelope that is not complete, their size, and the size at which it is worth a look. */
  #pieces: Uint8Array[] = [];
  #size = 0;
  #wanted = HEADER_BYTES;

  /** `maxBytes`: largest payload. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes of an envelope came, but not all. */
  get isPartial(): boolean {
    return this.#size > 0;
  }

  /** The envelopes that are complete with this chunk. Throws `resource_exhausted` for one that is too large. */
  push(chunk: Uint8Array): Envelope[] {
    this.#pieces.push(chunk);
    this.#size += chunk.length;
    if (this.#size < this.#wanted) return [];
    return this.#cut(plainBytes(this.#pieces.length === 1 ? chunk : Buffer.concat(this.#pieces, this.#size)));
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
    this.#pieces = at === bytes.length ? [] : [bytes.subarray(at)];
    this.#size = bytes.length - at;
    return envelopes;
  }
}

/** The same bytes, not as Node's Buffer: messages hand out parts of them, and a Buffer's methods differ. */
export function plainBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function tooLarge(length: number, maxBytes: number): ConnectError {
  return new ConnectError(`a message of ${length} bytes is larger than ${maxBytes}, the limit`, Code.ResourceExhausted);
}
