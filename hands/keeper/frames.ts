/** Frames between hands and the keeper: u32 length of what follows, u8 type, u32 id, payload; little-endian (keeper.h). */

export const FRAME_HEADER = 9;

/** Types of what the keeper is asked. */
export const Request = { START: 1, STDIN: 2, CLOSE_STDIN: 3, SIGNAL: 4, PAUSE: 5, RESUME: 6 } as const;

/** Types of what it tells. */
export const Event = { STARTED: 1, STDOUT: 2, STDERR: 3, ENDED: 4, FAILED: 5 } as const;

const START_STDIN = 1;
const START_SHELL = 2;

/** One frame. */
export function frame(type: number, id: number, payload: Uint8Array = new Uint8Array()): Buffer {
  const buffer = Buffer.allocUnsafe(FRAME_HEADER + payload.length);
  buffer.writeUInt32LE(FRAME_HEADER - 4 + payload.length, 0);
  buffer[4] = type;
  buffer.writeUInt32LE(id, 5);
  buffer.set(payload, FRAME_HEADER);
  return buffer;
}

/** The payload of a start: flags, counts, then working directory, arguments and variables, each with length and a NUL. */
export function startPayload(spec: {
  readonly shell: boolean;
  readonly stdin: boolean;
  readonly cwd: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}): Buffer {
  const variables = Object.entries(spec.env).map(([name, value]) => `${name}=${value}`);
  const texts = [spec.cwd, ...spec.args, ...variables];
  const buffer = Buffer.allocUnsafe(FRAME_HEADER + texts.reduce((size, text) => size + Buffer.byteLength(text) + 5, 0));
  buffer[0] = (spec.stdin ? START_STDIN : 0) | (spec.shell ? START_SHELL : 0);
  buffer.writeUInt32LE(spec.args.length, 1);
  buffer.writeUInt32LE(variables.length, 5);
  let at = FRAME_HEADER;
  for (const text of texts) {
    const length = buffer.write(text, at + 4);
    buffer.writeUInt32LE(length, at);
    at += 4 + length;
    buffer[at++] = 0;
  }
  return buffer;
}

/** Cuts a byte stream into frames, without copying those that came in one piece. */
export class FrameReader {
  readonly #onFrame: (type: number, id: number, payload: Buffer) => void;
  /** Pieces of a frame that is not complete, and their size. */
  #pieces: Buffer[] = [];
  #size = 0;
  #wanted = FRAME_HEADER;

  constructor(onFrame: (type: number, id: number, payload: Buffer) => void) {
    this.#onFrame = onFrame;
  }

  push(chunk: Buffer): void {
    this.#pieces.push(chunk);
    this.#size += chunk.length;
    if (this.#size < this.#wanted) return;
    const buffer = this.#pieces.length === 1 ? chunk : Buffer.concat(this.#pieces, this.#size);
    let at = 0;
    this.#wanted = FRAME_HEADER;
    while (buffer.length - at >= FRAME_HEADER) {
      const end = at + 4 + buffer.readUInt32LE(at);
      if (end > buffer.length) {
        this.#wanted = end - at;
        break;
      }
      this.#onFrame(buffer.readUInt8(at + 4), buffer.readUInt32LE(at + 5), buffer.subarray(at + FRAME_HEADER, end));
      at = end;
    }
    this.#pieces = at === buffer.length ? [] : [buffer.subarray(at)];
    this.#size = buffer.length - at;
  }
}
