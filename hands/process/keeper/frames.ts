import { constants } from "node:os";

/** Frames between hands and the keeper: u32 length of what follows, u8 type, u32 id, payload; little-endian (keeper.h). */

const FRAME_HEADER = 9;

/** Types of what the keeper is asked. */
export const Request = { START: 1, STDIN: 2, CLOSE_STDIN: 3, SIGNAL: 4, PAUSE: 5, RESUME: 6, PING: 7 } as const;

/** Types of what it tells. */
export const Event = { STARTED: 1, STDOUT: 2, STDERR: 3, ENDED: 4, FAILED: 5, INPUT_TAKEN: 6, READY: 7, GONE: 8, PONG: 9 } as const;

/** Longest frame that the keeper takes, in bytes: MAX_REQUEST. */
export const MAX_REQUEST_BYTES = 16 * 1024 * 1024;

/** How long the payload of each event may be, in bytes: the least and the most. */
const PAYLOAD_BYTES: ReadonlyMap<number, readonly [number, number]> = new Map([
  [Event.STARTED, [4, 4]],
  [Event.STDOUT, [1, 64 * 1024]],
  [Event.STDERR, [1, 64 * 1024]],
  [Event.ENDED, [5, 5]],
  [Event.FAILED, [1, 1024]],
  [Event.INPUT_TAKEN, [4, 4]],
  [Event.READY, [0, 0]],
  [Event.GONE, [0, 0]],
  [Event.PONG, [0, 0]],
]);

const START_STDIN = 1;
const START_SHELL = 2;
const START_TERMINAL = 4;

/** Whoever writes the frames does not keep to their form. Nothing that it tells can be believed any more. */
export class BadFrame extends Error {
  override readonly name = "BadFrame";
}

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
  /** Its stdin is a terminal, which becomes its own. */
  readonly terminal?: boolean;
  readonly cwd: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}): Buffer {
  const variables = Object.entries(spec.env).map(([name, value]) => `${name}=${value}`);
  const texts = [spec.cwd, ...spec.args, ...variables];
  const buffer = Buffer.allocUnsafe(FRAME_HEADER + texts.reduce((size, text) => size + Buffer.byteLength(text) + 5, 0));
  buffer[0] = (spec.stdin ? START_STDIN : 0) | (spec.shell ? START_SHELL : 0) | (spec.terminal === true ? START_TERMINAL : 0);
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

/**
 * Cuts a byte stream into frames, without copying: output is handed on as it comes, in as many pieces as it comes in; of any other frame
 * the payload is whole. What it holds back is bounded by the longest payload that is not output.
 */
export class FrameReader {
  readonly #onFrame: (type: number, id: number, payload: Buffer) => void;
  /** Begin of a frame that is not complete: a few bytes. */
  #partial: Buffer | undefined;
  /** The output frame under way, and how much of it is still to come. */
  #type = 0;
  #id = 0;
  #left = 0;

  constructor(onFrame: (type: number, id: number, payload: Buffer) => void) {
    this.#onFrame = onFrame;
  }

  /** Throws a {@link BadFrame} for a type that is not known, and a length that its type can't have. */
  push(chunk: Buffer): void {
    const bytes = this.#partial === undefined ? chunk : Buffer.concat([this.#partial, chunk]);
    let at = 0;
    while (at < bytes.length) {
      const taken = this.#left > 0 ? this.#continueOutput(bytes, at) : this.#takeFrame(bytes, at);
      if (taken === 0) break;
      at += taken;
    }
    this.#partial = at < bytes.length ? bytes.subarray(at) : undefined;
  }

  #continueOutput(bytes: Buffer, at: number): number {
    const piece = bytes.subarray(at, at + this.#left);
    this.#left -= piece.length;
    this.#onFrame(this.#type, this.#id, piece);
    return piece.length;
  }

  /** Returns the bytes that were used up: 0 if more are needed. */
  #takeFrame(bytes: Buffer, at: number): number {
    if (bytes.length - at < FRAME_HEADER) return 0;
    const size = bytes.readUInt32LE(at) + 4 - FRAME_HEADER;
    const type = bytes.readUInt8(at + 4);
    const id = bytes.readUInt32LE(at + 5);
    const [least, most] = PAYLOAD_BYTES.get(type) ?? [0, -1];
    if (size < least || size > most) throw new BadFrame(`an event of type ${type} with ${size} bytes`);
    if (type === Event.STDOUT || type === Event.STDERR) {
      this.#type = type;
      this.#id = id;
      this.#left = size;
      return FRAME_HEADER;
    }
    if (bytes.length - at < FRAME_HEADER + size) return 0;
    this.#onFrame(type, id, bytes.subarray(at + FRAME_HEADER, at + FRAME_HEADER + size));
    return FRAME_HEADER + size;
  }
}

const NAMES = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name as NodeJS.Signals]));

/** The name of a signal's number. Real-time signals have none in Node: they are told as SIGKILL. */
export function signalName(number: number): NodeJS.Signals {
  return NAMES.get(number) ?? "SIGKILL";
}
