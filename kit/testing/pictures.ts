import { crc32, deflateSync } from "node:zlib";

const PNG_BEGIN = Buffer.from("89504e470d0a1a0a", "hex");

/** A PNG that is one black area, with some bytes more than it needs. */
export function png(width = 1, height = 1, moreBytes = 0): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 1;
  const rows = deflateSync(Buffer.alloc((1 + Math.ceil(width / 8)) * height));
  const more = moreBytes > 0 ? [chunk("tEXt", Buffer.alloc(moreBytes, "x"))] : [];
  return Buffer.concat([PNG_BEGIN, chunk("IHDR", header), ...more, chunk("IDAT", rows), chunk("IEND", Buffer.alloc(0))]);
}

function chunk(name: string, data: Buffer): Buffer {
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  const body = Buffer.concat([Buffer.from(name, "latin1"), data]);
  length.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}

/** Quantization table, frame, Huffman table, scan. */
const JPEG = [`ffdb004300${"ff".repeat(64)}`, "ffc2000b080001000101011100", `ffc400141001${"00".repeat(16)}`, "ffda0008010100013f10"];

/** A JPEG of one pixel that says it has another size. */
export function jpeg(width = 1, height = 1): Buffer {
  const file = Buffer.from(`ffd8${JPEG.join("")}ffd9`, "hex");
  const frame = file.indexOf(Buffer.from("ffc2", "hex"));
  file.writeUInt16BE(height, frame + 5);
  file.writeUInt16BE(width, frame + 7);
  return file;
}

/** A GIF of one pixel that says it has another size. */
export function gif(width = 1, height = 1): Buffer {
  const file = Buffer.from("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7", "base64");
  file.writeUInt16LE(width, 6);
  file.writeUInt16LE(height, 8);
  return file;
}

/** WebP files of one pixel, lossy and lossless. */
export const WEBP = {
  lossy: Buffer.from("UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA", "base64"),
  lossless: Buffer.from("UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==", "base64"),
};
