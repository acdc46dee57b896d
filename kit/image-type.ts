/** How the bytes of each kind of picture begin that models take. */
const BEGINNINGS: ReadonlyArray<readonly [type: string, bytes: string, at: number]> = [
  ["image/png", "89504e470d0a1a0a", 0],
  ["image/jpeg", "ffd8ff", 0],
  ["image/gif", "474946383761", 0],
  ["image/gif", "474946383961", 0],
  ["image/webp", "57454250", 8],
];

/** Media types of the pictures that models take. */
export const IMAGE_TYPES: readonly string[] = [...new Set(BEGINNINGS.map(([type]) => type))];

/** The media type of a picture, read from its first bytes; `undefined` if it is none that models take. */
export function imageType(file: Uint8Array): string | undefined {
  const hex = Buffer.from(file.subarray(0, 12)).toString("hex");
  return BEGINNINGS.find(
    ([type, bytes, at]) => hex.startsWith(bytes, at * 2) && (type !== "image/webp" || hex.startsWith("52494646")),
  )?.[0];
}
