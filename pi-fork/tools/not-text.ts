import { imageType } from "@serverless-harness/kit/image-type";

/** Bytes that are looked at. */
const SAMPLE_BYTES = 8 * 1024;
/** A text in an old encoding has fewer characters than this that are no UTF-8, and is readable without them. */
const MOST_INVALID = 0.1;

/** What a file is that is neither text nor a picture, and how to look into it; `undefined` where it is one of these. `name`: as the model names it. */
export function notText(file: Uint8Array, name: string): string | undefined {
  if (imageType(file) !== undefined) return undefined;
  const sample = Buffer.from(file.buffer, file.byteOffset, Math.min(file.length, SAMPLE_BYTES));
  const utf16 = utf16Of(sample);
  if (utf16 !== undefined) return `${describe(name, file)}text in ${utf16}: read it with bash: iconv -f ${utf16} -t UTF-8]`;
  if (!sample.includes(0) && invalidShare(sample) < MOST_INVALID) return undefined;
  return `${describe(name, file)}a binary file: look into it with bash, as by file, xxd or strings]`;
}

function describe(name: string, { length }: Uint8Array): string {
  return `[${name} has ${length} bytes and is not shown. It is `;
}

/** By its mark, or as text in mostly Latin letters shows: every other byte is zero. */
function utf16Of(sample: Buffer): string | undefined {
  // UTF-32 begins alike, and has zeros in any case.
  if (sample.length >= 4 && sample.readUInt32LE(0) === 0xfeff) return "UTF-32LE";
  if (sample[0] === 0xff && sample[1] === 0xfe) return "UTF-16LE";
  if (sample[0] === 0xfe && sample[1] === 0xff) return "UTF-16BE";
  const zeros = [0, 0];
  for (const [index, byte] of sample.entries()) if (byte === 0) zeros[index % 2] = (zeros[index % 2] ?? 0) + 1;
  const [even = 0, odd = 0] = zeros;
  if (odd * 2 > sample.length * 0.7 && even === 0) return "UTF-16LE";
  return even * 2 > sample.length * 0.7 && odd === 0 ? "UTF-16BE" : undefined;
}

/** How much of it is no UTF-8; a character that the sample cuts counts little. */
function invalidShare(sample: Buffer): number {
  if (sample.length === 0) return 0;
  return (sample.toString("utf8").match(/\ufffd/g)?.length ?? 0) / sample.length;
}
