import { crc32 } from "node:zlib";
import { IMAGE_TYPES, imageType } from "./image-type.ts";

/** Most pixels on a side that models take. */
export const MAX_IMAGE_SIDE = 8000;

/** What the structure of a picture's file tells. */
interface Found {
  readonly width: number;
  readonly height: number;
  /** It is there to its end. */
  readonly whole: boolean;
}

/** Reads a file of one kind; `undefined`: its header is damaged or missing. Reading past the end of the file throws a RangeError. */
type Reader = (file: Buffer) => Found | undefined;

const READERS: Readonly<Record<string, Reader>> = {
  "image/png": readPng,
  "image/jpeg": readJpeg,
  "image/gif": readGif,
  "image/webp": readWebp,
};

/**
 * What keeps a picture from being shown to a model, in words that go on from its name; `undefined`: nothing. Its kind, its header and its blocks are looked at, not
 * its pixels. A provider refuses a conversation for one such picture, and each later one of the session.
 */
export function imageProblem(file: Uint8Array): string | undefined {
  const type = imageType(file);
  if (type === undefined) return `is no picture that models take: use ${IMAGE_TYPES.join(", ")}`;
  const found = read(type, Buffer.from(file.buffer, file.byteOffset, file.byteLength));
  if (found === undefined) return `is damaged: its header as ${type} can't be read`;
  const { width, height, whole } = found;
  if (width === 0 || height === 0) return `is empty: ${width} x ${height} pixels`;
  if (width > MAX_IMAGE_SIDE || height > MAX_IMAGE_SIDE)
    return `is too large: ${width} x ${height} pixels, at most ${MAX_IMAGE_SIDE} on a side; make it smaller`;
  return whole ? undefined : "is damaged: its file is cut short or has wrong bytes";
}

function read(type: string, file: Buffer): Found | undefined {
  try {
    return READERS[type]?.(file);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Whether `walk` comes to the end of the file's blocks. */
function isWhole(walk: () => boolean): boolean {
  try {
    return walk();
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

function readPng(file: Buffer): Found | undefined {
  if (file.toString("latin1", 12, 16) !== "IHDR") return undefined;
  const whole = isWhole(() => {
    let data = false;
    for (let at = 8; ; ) {
      const length = file.readUInt32BE(at);
      const name = file.toString("latin1", at + 4, at + 8);
      if (crc32(file.subarray(at + 4, at + 8 + length)) !== file.readUInt32BE(at + 8 + length)) return false;
      data ||= name === "IDAT" && length > 0;
      if (name === "IEND") return data;
      at += 12 + length;
    }
  });
  return { width: file.readUInt32BE(16), height: file.readUInt32BE(20), whole };
}

const [SOS, EOI] = [0xda, 0xd9];

function readJpeg(file: Buffer): Found | undefined {
  let size: Omit<Found, "whole"> | undefined;
  for (let at = 2; ; ) {
    if (file.readUInt8(at) !== 0xff) return undefined;
    const marker = file.readUInt8(at + 1);
    // Any number of them may stand in front of a marker.
    if (marker === 0xff) at++;
    else {
      if (isFrame(marker)) size = { height: file.readUInt16BE(at + 5), width: file.readUInt16BE(at + 7) };
      at += 2 + file.readUInt16BE(at + 2);
      if (marker === SOS) return size && { ...size, whole: file.includes(Buffer.from([0xff, EOI]), at) };
    }
  }
}

/** The segment that has the size of the picture. */
function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
}

const GIF = { extension: 0x21, image: 0x2c, end: 0x3b };

function readGif(file: Buffer): Found {
  const colours = (flags: number): number => (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0);
  const behindBlocks = (from: number): number => {
    let at = from;
    for (let length = file.readUInt8(at); length > 0; length = file.readUInt8(at)) at += 1 + length;
    return at + 1;
  };
  const whole = isWhole(() => {
    let images = 0;
    for (let at = 13 + colours(file.readUInt8(10)); ; ) {
      const kind = file.readUInt8(at);
      if (kind === GIF.end) return images > 0;
      if (kind === GIF.extension) at = behindBlocks(at + 2);
      else if (kind === GIF.image) {
        images++;
        at = behindBlocks(at + 11 + colours(file.readUInt8(at + 9)));
      } else return false;
    }
  });
  return { width: file.readUInt16LE(6), height: file.readUInt16LE(8), whole };
}

function readWebp(file: Buffer): Found | undefined {
  const whole = file.length >= 8 + file.readUInt32LE(4) && file.length >= 20 + file.readUInt32LE(16);
  switch (file.toString("latin1", 12, 16)) {
    case "VP8 ":
      if (file.readUIntBE(23, 3) !== 0x9d012a) return undefined;
      return { width: file.readUInt16LE(26) & 0x3fff, height: file.readUInt16LE(28) & 0x3fff, whole };
    case "VP8L": {
      if (file.readUInt8(20) !== 0x2f) return undefined;
      const bits = file.readUInt32LE(21);
      return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1, whole };
    }
    case "VP8X":
      return { width: file.readUIntLE(24, 3) + 1, height: file.readUIntLE(27, 3) + 1, whole };
    default:
      return undefined;
  }
}
